import { processIo } from './process-io.js';
import { runProgram } from './program.js';
import { programName } from './program-name.js';

process.exitCode = await runProgram(process.argv.slice(2), processIo(), programName(process.argv[1]));
