import { VsmmuError } from '../../errors.js';
import type { HostSource } from '../../host/host-source.js';
import { nodePaths, type IommufdPolicy } from '../allocation.js';
import { cdiDeviceId, listCdiSpecs, removeCdiSpec, writeCdiSpec, type CdiDevice } from '../cdi.js';
import type { Checkpoint } from '../checkpoint.js';
import { checkDevice, type DeviceNodes } from '../device-nodes.js';
import { refuseBusyGroup, type BusyCheck } from '../group-busy.js';
import type { GroupClaims } from '../group-claims.js';
import type { AllocatedClaim, AllocatedDevice } from './claim.js';
import { CLAIM_KIND, deviceInSpec, SPEC_PREFIX, specName } from './claim-spec.js';
import type { DraDevice } from './device.js';
import { removeMetadataFiles, writeMetadataFile } from './metadata-file.js';
import {
  preparedToJson,
  type PreparedClaim,
  type PreparedClaims,
  type PreparedDevice,
} from './prepared-claims.js';

export interface PreparerOptions {
  readonly nodeName: string;
  readonly cdiDir: string;
  readonly stateDir: string;
  readonly source: Pick<HostSource, 'readLink' | 'list' | 'exists'>;
  readonly isBusy?: BusyCheck | undefined;
  readonly iommufd: () => IommufdPolicy;
  readonly claims: GroupClaims;
  readonly checkpoint: Checkpoint<PreparedClaims>;
  /** By device name. */
  readonly devices: () => ReadonlyMap<string, DraDevice>;
}

interface Checked {
  readonly allocated: AllocatedDevice;
  readonly dra: DraDevice;
  readonly nodes: DeviceNodes;
}

/**
 * Prepares and unprepares claims. What is prepared is on disk before the kubelet hears of it; the CDI file is
 * written anew each time, since a reboot wipes /var/run and keeps the state.
 */
export class Preparer {
  readonly #options: PreparerOptions;
  readonly #prepared: Map<string, PreparedClaim>;
  /** By UID: the last call of a claim. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: PreparerOptions, prepared: PreparedClaims) {
    this.#options = options;
    this.#prepared = new Map(prepared);
    for (const { uid, devices } of prepared.values()) options.claims.claim(devices, `claim ${uid}`);
    this.#removeStrangers();
  }

  get prepared(): PreparedClaims {
    return this.#prepared;
  }

  /**
   * Idempotent: a claim that is prepared keeps its devices.
   *
   * @throws VsmmuError DEVICE_NOT_ADVERTISED, DEVICE_CHANGED, DEVICE_BUSY, GROUP_TAKEN, CDI_UNWRITABLE, STATE_UNWRITABLE; nothing is held then
   */
  prepare(claim: AllocatedClaim): Promise<PreparedClaim> {
    return this.#inTurn(claim.uid, () => this.#prepare(claim));
  }

  /**
   * Idempotent; a claim that was never prepared here is fine.
   *
   * @throws VsmmuError STATE_UNWRITABLE; the kubelet tries again
   */
  unprepare(uid: string): Promise<void> {
    return this.#inTurn(uid, () => this.#unprepare(uid));
  }

  /** A kubelet that gave up on a slow call goes on to the next: what that undoes must have been done. */
  async #inTurn<T>(uid: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(uid) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => undefined);
    this.#turns.set(uid, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(uid) === settled) this.#turns.delete(uid);
    }
  }

  async #prepare(claim: AllocatedClaim): Promise<PreparedClaim> {
    const { claims } = this.#options;
    const holder = `claim ${claim.uid}` as const;
    const check = () => claim.devices.map((allocated) => this.#check(allocated, claim.uid));
    // A claim that is prepared already may be in use by its own pod.
    if (!this.#prepared.has(claim.uid)) await this.#refuseBusy(check());
    const checked = check();
    const before = this.#prepared.get(claim.uid);
    // Claimed before anything is awaited: two claims of one group may be prepared at the same time.
    claims.claim(
      checked.map(({ dra }) => dra.device),
      holder,
    );
    try {
      const prepared = this.#writeSpec(claim, checked);
      this.#prepared.set(claim.uid, prepared);
      await this.#save();
      return prepared;
    } catch (error) {
      if (before === undefined) {
        this.#prepared.delete(claim.uid);
        this.#forget(claim.uid);
      }
      throw error;
    }
  }

  async #unprepare(uid: string): Promise<void> {
    const before = this.#prepared.get(uid);
    if (before !== undefined) {
      this.#prepared.delete(uid);
      try {
        await this.#save();
      } catch (error) {
        this.#prepared.set(uid, before);
        throw error;
      }
    }
    this.#forget(uid);
  }

  async #refuseBusy(checked: readonly Checked[]): Promise<void> {
    const { isBusy } = this.#options;
    if (isBusy === undefined) return;
    for (const { dra, nodes } of checked) await refuseBusyGroup(dra.device.bdf, nodes.group, isBusy);
  }

  #forget(uid: string): void {
    const { cdiDir, stateDir, claims } = this.#options;
    claims.release(`claim ${uid}`);
    removeCdiSpec(cdiDir, specName(uid));
    removeMetadataFiles(stateDir, uid);
  }

  /** Specifications of claims that this state does not know: the process died in between. */
  #removeStrangers(): void {
    const { cdiDir } = this.#options;
    const known = new Set([...this.#prepared.keys()].map((uid) => specName(uid)));
    for (const name of listCdiSpecs(cdiDir, SPEC_PREFIX)) if (!known.has(name)) removeCdiSpec(cdiDir, name);
  }

  #save(): Promise<void> {
    return this.#options.checkpoint.write(() => preparedToJson(this.#prepared));
  }

  #check(allocated: AllocatedDevice, uid: string): Checked {
    const { nodeName, devices, source, claims } = this.#options;
    const dra = allocated.pool === nodeName ? devices().get(allocated.device) : undefined;
    if (dra === undefined) {
      throw new VsmmuError(
        'DEVICE_NOT_ADVERTISED',
        `Pool ${allocated.pool} has no ${allocated.device} here.`,
        {
          place: allocated.device,
          remedy: 'Delete the pod; the scheduler chose from an outdated ResourceSlice.',
        },
      );
    }
    const live = checkDevice(source, dra.device);
    if (!live.ok) {
      throw new VsmmuError('DEVICE_CHANGED', `${live.problem}.`, {
        place: dra.device.bdf,
        remedy: live.remedy,
      });
    }
    const obstacle = claims.obstacle(dra.device, `claim ${uid}`);
    if (obstacle !== undefined) {
      throw new VsmmuError('GROUP_TAKEN', `${obstacle}; a group belongs to one VM.`, {
        place: dra.device.bdf,
        remedy: 'Wait until the other pod ends; the kubelet tries again.',
      });
    }
    return { allocated, dra, nodes: live.nodes };
  }

  #writeSpec(claim: AllocatedClaim, checked: readonly Checked[]): PreparedClaim {
    const { cdiDir, stateDir, iommufd, source } = this.#options;
    const described = new Set<string>();
    const specs: CdiDevice[] = [];
    const devices = checked.map(({ allocated, dra, nodes }): PreparedDevice => {
      const { request, pool } = allocated;
      const name = deviceInSpec(claim.uid, dra.name);
      // A container may use one request of the claim only, so each has its own file, with its first device.
      const first = !described.has(request);
      described.add(request);
      const mounts = first ? [this.#describe(stateDir, claim, request, checked)] : [];
      specs.push({ name, edits: { deviceNodes: nodePaths([nodes], iommufd(), source), mounts } });
      const { bdf, iommuGroup } = dra.device;
      return { request, pool, name: dra.name, bdf, iommuGroup, cdiIds: [cdiDeviceId(CLAIM_KIND, name)] };
    });
    if (specs.length > 0) writeCdiSpec(cdiDir, specName(claim.uid), CLAIM_KIND, specs);
    return { uid: claim.uid, namespace: claim.namespace, name: claim.name, devices };
  }

  #describe(stateDir: string, claim: AllocatedClaim, request: string, checked: readonly Checked[]) {
    const devices = checked
      .filter(({ allocated }) => allocated.request === request)
      .map(({ allocated, dra }) => ({ pool: allocated.pool, name: dra.name, attributes: dra.attributes }));
    return writeMetadataFile(stateDir, claim, request, devices);
  }
}
