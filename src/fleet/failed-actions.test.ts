import { describe, expect, test } from '@jest/globals';

import { FailedActions } from './failed-actions.js';
import type { Action } from './plan.js';

const label = (node: string): Action => ({ kind: 'label-node', node, patch: { 'vsmmu.io/ats': 'on' } });

function at(start = 0) {
  let time = start;
  const failures = new FailedActions({ now: () => time, baseMs: 1000, maxMs: 8000 });
  return { failures, pass: (ms: number) => (time += ms) };
}

describe('actions that failed', () => {
  test('wait twice as long after each failure, up to a limit', () => {
    const { failures, pass } = at();
    const waits = Array.from({ length: 5 }, () => failures.remember(label('a')));
    expect(waits).toEqual([1000, 2000, 4000, 8000, 8000]);
    expect(failures.isDue(label('a'))).toBe(false);
    pass(8000);
    expect(failures.isDue(label('a'))).toBe(true);
  });

  test('hold nothing else up, and are forgotten once done', () => {
    const { failures } = at();
    failures.remember(label('a'));
    expect(failures.isDue(label('b'))).toBe(true);
    failures.forget(label('a'));
    expect(failures.isDue(label('a'))).toBe(true);
    expect(failures.remember(label('a'))).toBe(1000);
  });

  test('the next look is when the first is due', () => {
    const { failures, pass } = at();
    expect(failures.nextIn(60_000)).toBe(60_000);
    failures.remember(label('a'));
    failures.remember(label('a'));
    failures.remember(label('b'));
    expect(failures.nextIn(60_000)).toBe(1000);
    pass(1500);
    expect(failures.nextIn(60_000)).toBe(500);
  });

  test('what nobody wants any more is forgotten', () => {
    const { failures, pass } = at();
    failures.remember(label('a'));
    pass(1000 + 8000);
    failures.nextIn(60_000);
    expect(failures.remember(label('a'))).toBe(1000);
  });

  test('an event is kept, since no later plan would have it', () => {
    const { failures, pass } = at();
    const event: Action = {
      kind: 'event',
      regarding: { kind: 'Node', name: 'a' },
      reason: 'FeaturesChanged',
      note: 'ats on -> off',
    };
    failures.remember(event);
    failures.remember(label('a'));
    expect(failures.dueEvents()).toEqual([]);
    pass(1000);
    expect(failures.dueEvents()).toEqual([event]);
    failures.forget(event);
    expect(failures.dueEvents()).toEqual([]);
  });
});
