import type { ServerResponse } from 'node:http';

import type { JudgedReview } from './https-server.js';
import { renderFailure } from './review-answer.js';

export const JSON_TYPE = 'application/json';

export interface Reply {
  readonly status: number;
  readonly json?: string;
  readonly text?: string;
  /** Of the text. */
  readonly type?: string;
  /** Names and values in turn. */
  readonly headers?: readonly string[];
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

const NO_HEADERS: readonly string[] = [];
const CLOSE: readonly string[] = ['Connection', 'close'];

/** With its length, so that head and body leave in one TLS record. */
export function send(response: ServerResponse, reply: Reply): void {
  const { status, json, text = '', type = 'text/plain; charset=utf-8', headers = NO_HEADERS, close } = reply;
  const body = json ?? text;
  response.writeHead(status, [
    'Content-Type',
    json === undefined ? type : JSON_TYPE,
    'Content-Length',
    `${Buffer.byteLength(body)}`,
    ...headers,
    ...(close === true ? CLOSE : NO_HEADERS),
  ]);
  response.end(body);
}
