import { Http2Error, uint32s } from './frame.js';

/** RFC 9113, section 6.5.2; those that matter to gRPC. */
export const Setting = {
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;
type SettingName = keyof typeof Setting;

const ENTRY = 6;

export function encodeSettings(values: Readonly<Partial<Record<SettingName, number>>>): Buffer {
  const named = Object.entries(values) as [SettingName, number][];
  return Buffer.concat(named.flatMap(([name, value]) => [Buffer.from([0, Setting[name]]), uint32s(value)]));
}

/** @returns number and value of each setting, in order @throws Http2Error */
export function decodeSettings(payload: Buffer): [setting: number, value: number][] {
  if (payload.length % ENTRY !== 0) throw new Http2Error('FRAME_SIZE_ERROR', 'settings that are cut short');
  return Array.from({ length: payload.length / ENTRY }, (_, index) => [
    payload.readUInt16BE(ENTRY * index),
    payload.readUInt32BE(ENTRY * index + 2),
  ]);
}
