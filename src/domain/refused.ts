import { ExitStatus, VsmmuError } from '../errors.js';

/** A domain that vsmmu won't write, with every reason; nothing of it has been changed. */
export class DomainRefused extends VsmmuError {
  readonly findings: readonly VsmmuError[];

  constructor(first: VsmmuError, others: readonly VsmmuError[]) {
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
    super(first.code, first.message + more, {
      place: first.place,
      remedy: first.remedy,
      exitStatus: ExitStatus.findings,
    });
    this.findings = [first, ...others];
  }
}
