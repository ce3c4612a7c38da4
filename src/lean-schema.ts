/**
 * zod's lean build, which a process that is alone with its pod can afford: half a megabyte of source less than `zod`
 * (docs/decisions/0008-what-a-small-process-loads.md). It brings no texts of its own, so English ones are set here.
 *
 * @example import * as z from '../lean-schema.js';
 */
import { config } from 'zod/mini';
import english from 'zod/v4/locales/en.js';

config(english());

export * from 'zod/mini';
