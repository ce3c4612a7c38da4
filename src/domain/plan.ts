import type { ErrorCode } from '../error-codes.js';
import { ExitStatus, VsmmuError } from '../errors.js';
import type { HostFeatures } from '../smmu/features.js';
import { placeInDomain, type DomainModel } from './domain-model.js';
import type { Edit } from './edit.js';
import type { XmlElement } from './element.js';
import { Layout } from './layout.js';
import type { ResolvedOptions } from './options.js';

/** Why one property is as it is, for `--explain` and `-o json`. */
export interface Decision {
  /** "iommu0" or "0009:01:00.0" */
  readonly subject: string;
  /** "ats", "ssidsize", ... */
  readonly property: string;
  /** What stood in the document; undefined: nothing did. */
  readonly was: string | undefined;
  readonly asked: string;
  readonly resolved: string;
  /** Where and how it stands in the result. */
  readonly written: string;
  readonly evidence: string;
  readonly rule: string;
}

/** A property that `<qemu:override>` must carry, or (value undefined) must not. */
export interface WantedOverride {
  readonly alias: string;
  readonly name: string;
  readonly type: 'string' | 'bool';
  readonly value: string | undefined;
  readonly why: string;
}

/** Collects what the planning stages find; they add and never read what others added. */
export class Plan {
  readonly model: DomainModel;
  readonly host: HostFeatures;
  readonly options: ResolvedOptions;
  #layout: Layout | undefined;
  readonly edits: Edit[] = [];
  readonly decisions: Decision[] = [];
  readonly findings: VsmmuError[] = [];
  readonly warnings: VsmmuError[] = [];
  readonly overrides: WantedOverride[] = [];

  constructor(model: DomainModel, host: HostFeatures, options: ResolvedOptions) {
    this.model = model;
    this.host = host;
    this.options = options;
  }

  /** Made when first asked for: most plans change nothing. */
  get layout(): Layout {
    this.#layout ??= new Layout(this.model.text, this.model.root);
    return this.#layout;
  }

  refuse(at: XmlElement, code: ErrorCode, message: string, remedy: string): void {
    this.findings.push(this.#at(at, code, message, remedy));
  }

  /** Something that a VM would start with, or that was there before and is not ours to settle. */
  warn(at: XmlElement, code: ErrorCode, message: string, remedy: string): void {
    this.warnings.push(this.#at(at, code, message, remedy));
  }

  #at(at: XmlElement, code: ErrorCode, message: string, remedy: string): VsmmuError {
    const place = placeInDomain(this.model, at);
    return new VsmmuError(code, message, { place, remedy, exitStatus: ExitStatus.findings });
  }
}
