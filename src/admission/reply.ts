import type { ServerResponse } from 'node:http';

import type { JudgedReview } from './https-server.js';
import { renderFailure } from './review.js';

export interface Reply {
  readonly status: number;
  readonly json?: string;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The rest of the request is not wanted: the connection ends with the answer. */
  readonly close?: boolean;
  /** Of the request's body, for metrics. */
  readonly bytes?: number;
  readonly review?: JudgedReview;
}

/** An answer in the shape of an AdmissionReview that allows nothing. */
export function failed(status: number, message: string, uid = ''): Reply {
  return { status, json: renderFailure(uid, status, message) };
}

export function plain(status: number, text: string): Reply {
  return { status, text: `${text}\n` };
}

export function send(
  response: ServerResponse,
  { status, json, text = '', headers, close = false }: Reply,
): void {
  const body = json ?? text;
  response.writeHead(status, {
    'Content-Type': json === undefined ? 'text/plain; charset=utf-8' : 'application/json',
    ...headers,
    'Content-Length': Buffer.byteLength(body),
    ...(close ? { Connection: 'close' } : {}),
  });
  response.end(body);
}
