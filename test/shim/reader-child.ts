/** The reader in a process of its own, where the shim is preloaded; SIGTERM ends it. */
import { runReader, type ReaderCommandOptions } from '../../src/cli/commands/reader.js';
import { processIo } from '../../src/cli/process-io.js';

const options = JSON.parse(process.argv[2] ?? '{}') as ReaderCommandOptions;
process.exitCode = await runReader(options, processIo());
