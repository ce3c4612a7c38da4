import { expect, test } from '@jest/globals';
import { kernelCommandLine, kernelRelease } from './kernel.js';
import { openLiveHost } from './live-host.js';
import { recordingOf } from './recording.js';

test.each([
  ['a machine without /proc', openLiveHost({ root: '/nonexistent' }), 'Mount /proc'],
  [
    'a recording without the line',
    recordingOf('x', { sysfs: 'DEV /dev/iommu\n', pciConfig: undefined, hwInfo: undefined }),
    'Record the host',
  ],
])('%s: the remedy is of the place that was asked', (_name, source, word) => {
  for (const answer of [kernelRelease(source), kernelCommandLine(source)])
    expect(answer).toMatchObject({ known: false, remedy: expect.stringContaining(word) });
});
