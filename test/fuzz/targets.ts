import * as admissionReview from './admission-review.js';
import * as agentConfig from './agent-config.js';
import * as annotation from './annotation.js';
import * as configSpace from './config-space.js';
import * as domainXml from './domain-xml.js';
import * as grpcFrames from './grpc-frames.js';
import * as recording from './recording.js';
import * as sysfsTree from './sysfs-tree.js';

/** What a fuzzer calls with its bytes; a broken law is thrown. */
export interface FuzzTarget {
  readonly fuzz: (data: Uint8Array) => void | Promise<void>;
  /** Gives up what the target holds between its runs. */
  readonly close?: () => Promise<void>;
}

/** By name, which is the name of the file and of its folder in `corpus/`. */
export const TARGETS: Readonly<Record<string, FuzzTarget>> = {
  'admission-review': admissionReview,
  'agent-config': agentConfig,
  annotation,
  'config-space': configSpace,
  'domain-xml': domainXml,
  'grpc-frames': grpcFrames,
  recording,
  'sysfs-tree': sysfsTree,
};
