import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import * as z from 'zod';

const component = z.strictObject({
  type: z.literal('library'),
  'bom-ref': z.string(),
  name: z.string(),
  version: z.string(),
  purl: z.string(),
  licenses: z.array(z.looseObject({})).length(1),
  hashes: z
    .array(z.strictObject({ alg: z.literal('SHA-512'), content: z.string().regex(/^[0-9a-f]{128}$/) }))
    .length(1),
});
const sbomSchema = z.strictObject({
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.literal('1.6'),
  version: z.literal(1),
  metadata: z.looseObject({ component: z.looseObject({ 'bom-ref': z.string() }) }),
  components: z.array(component),
  dependencies: z.array(z.strictObject({ ref: z.string(), dependsOn: z.array(z.string()) })),
  serialNumber: z
    .string()
    .regex(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
});
const lockfile = z
  .looseObject({
    packages: z.record(
      z.string(),
      z.looseObject({
        version: z.string().optional(),
        integrity: z.string().optional(),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync('package-lock.json', 'utf8')));

// ldd and the koffi of this machine: what is laid out is for the architecture it runs on.
const onLinux = process.platform === 'linux' ? describe : describe.skip;

onLinux('the image’s root file system (needs Linux)', () => {
  let dir = '';
  let files: string[] = [];
  const path = (...names: string[]) => join(dir, 'one', ...names);
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'vsmmu-image-'));
    layOut('one');
    files = readdirSync(path(), { recursive: true, encoding: 'utf8' }).sort();
  }, 120_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const layOut = (name: string) =>
    execFileSync(process.execPath, ['scripts/image/rootfs.mjs', join(dir, name)], { encoding: 'utf8' });

  test('is the same, byte for byte, when it is laid out again', () => {
    const digest = (name: string) => {
      const hash = createHash('sha256');
      for (const file of readdirSync(join(dir, name), { recursive: true, encoding: 'utf8' }).sort()) {
        const found = lstatSync(join(dir, name, file));
        hash.update(`${file} ${found.mode.toString(8)}\n`);
        if (found.isFile()) hash.update(readFileSync(join(dir, name, file)));
      }
      return hash.digest('hex');
    };
    layOut('two');
    expect(digest('two')).toBe(digest('one'));
  }, 120_000);

  test('holds no shell, package manager, source map or file that others may write to', () => {
    expect(
      files.filter((file) => /(^|\/)(sh|bash|npm|npx|corepack|apt|dpkg)$|\.map$|demo/.test(file)),
    ).toEqual([]);
    for (const file of files) {
      const { mode } = lstatSync(path(file));
      if (file !== 'tmp') expect({ file, mode: mode & 0o6022 }).toEqual({ file, mode: 0 });
    }
  });

  test('holds no client that reads kubeconfigs, and says so when it is asked to', () => {
    const sbom = sbomSchema.parse(JSON.parse(readFileSync(path('app', 'sbom.cdx.json'), 'utf8')));
    expect(sbom.components.map(({ name }) => name)).not.toContain('@kubernetes/client-node');
    const { status, stderr } = spawnSync(
      process.execPath,
      [path('app', 'vsmmu.js'), 'nodes', '--kubeconfig', 'x'],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/^error\[KUBE_CONFIG\] at x: .*this image reads no kubeconfig/),
    });
  });

  test('has a bill of materials that agrees with the lockfile', () => {
    const sbom = sbomSchema.parse(JSON.parse(readFileSync(path('app', 'sbom.cdx.json'), 'utf8')));
    const entries = Object.entries(lockfile.packages);
    expect(sbom.components.length).toBeGreaterThan(10);
    for (const { name, version, hashes, purl } of sbom.components) {
      const locked = entries.filter(
        ([key, entry]) => key.endsWith(`node_modules/${name}`) && entry.version === version,
      );
      const integrities = locked.map(([, { integrity = '' }]) =>
        Buffer.from(integrity.slice(7), 'base64').toString('hex'),
      );
      expect(integrities).toContain(hashes[0]?.content);
      expect(purl).toBe(`pkg:npm/${name.replace('@', '%40')}@${version}`);
    }
    expect(new Set(sbom.components.map((one) => one['bom-ref'])).size).toBe(sbom.components.length);
    expect(sbom.dependencies).toEqual([
      { ref: sbom.metadata.component['bom-ref'], dependsOn: sbom.components.map(({ purl }) => purl) },
    ]);
  });

  test('has the licence of everything in it', () => {
    const sbom = sbomSchema.parse(JSON.parse(readFileSync(path('app', 'sbom.cdx.json'), 'utf8')));
    const text = readFileSync(path('app', 'THIRD-PARTY-LICENCES'), 'utf8');
    for (const { name, version } of sbom.components) expect(text).toContain(`\n${name} ${version}: `);
    expect(readFileSync(path('app', 'LICENSE'), 'utf8')).toBe(readFileSync('LICENSE', 'utf8'));
  });

  test('holds koffi’s native part for this architecture only', () => {
    expect(files.filter((file) => file.endsWith('.node'))).toEqual([
      `app/node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`,
    ]);
  });
});

describe('the Dockerfile', () => {
  const lines = readFileSync('Dockerfile', 'utf8')
    .replaceAll(/\\\n/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

  test('ends in an image made from nothing, whose user is not root', () => {
    const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));
    expect(last[0]).toBe('FROM scratch');
    expect(last).toContain('USER 65532:65532');
    expect(last.filter((line) => /^(RUN|ADD|EXPOSE|VOLUME) /.test(line))).toEqual([]);
    expect(last.find((line) => line.startsWith('ENTRYPOINT'))).toBe(
      'ENTRYPOINT ["/usr/bin/node", "/app/vsmmu.js"]',
    );
  });

  test('runs no package’s install script and names its base by version', () => {
    expect(lines.filter((line) => line.includes('npm ci'))).toEqual([
      expect.stringContaining('--ignore-scripts'),
    ]);
    expect(lines[0]).toMatch(/^ARG NODE_IMAGE=docker\.io\/library\/node:\d+\.\d+\.\d+-bookworm-slim$/);
  });
});
