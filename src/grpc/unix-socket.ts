import { chmodSync, existsSync, lstatSync, renameSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { errnoOf, messageOf, VsmmuError } from '../errors.js';

/** sockaddr_un.sun_path holds 108 bytes with its final NUL (Linux include/uapi/linux/un.h, UNIX_PATH_MAX). */
const SOCKET_PATH_MAX = 107;

/** A bound unix socket, by what it is on disk and not by its name alone. */
export interface UnixListener {
  readonly path: string;
  /** Does the path still name this very socket? Not after someone removed or replaced it. */
  isInPlace(): boolean;
  /** Stops accepting and removes the path if it is still ours. Open connections live on. */
  stopListening(): void;
}

let bindings = 0;

/**
 * Where the socket is bound. `aside`: under another name, then renamed, so that a watcher of the folder meets it
 * listening and with its final mode, and libuv, which on close unlinks the name it bound, never removes a
 * successor's socket. `in-place`: under its own name at once, for folders where any other name is taken for a
 * socket too: virt-launcher remembers every file it finds in a hook's folder and would call a name that is gone.
 */
export type Binding = 'aside' | 'in-place';

/**
 * Binds a unix socket that no one can reach before its mode is right.
 *
 * @param mode permission bits of the socket; connecting needs write permission
 * @throws VsmmuError SOCKET_PATH_TOO_LONG, SOCKET_PATH_TAKEN, SOCKET_UNUSABLE
 */
export async function listenUnix(
  path: string,
  mode: number,
  onConnection: (socket: Socket) => void,
  binding: Binding = 'aside',
): Promise<UnixListener> {
  const bound = binding === 'aside' ? join(dirname(path), `.${process.pid}.${bindings++}`) : path;
  checkLength(path);
  checkLength(bound);
  const server = createServer(onConnection);
  if (binding === 'in-place') removeStaleSocket(path);
  await listen(server, bound, path);
  try {
    chmodSync(bound, mode);
    const { ino, dev } = lstatSync(bound);
    if (binding === 'aside') {
      removeStaleSocket(path);
      renameSync(bound, path);
    }
    return listener(server, path, ino, dev);
  } catch (error) {
    server.close();
    throw error instanceof VsmmuError ? error : unusable(path, error);
  }
}

function listener(server: Server, path: string, ino: number, dev: number): UnixListener {
  const isInPlace = () => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    return found?.ino === ino && found.dev === dev;
  };
  return {
    path,
    isInPlace,
    stopListening: () => {
      if (isInPlace()) unlinkSync(path);
      server.close();
    },
  };
}

/** Removes a socket a former process left behind; anything else is not ours to remove. */
export function removeStaleSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new VsmmuError(
      'SOCKET_PATH_TAKEN',
      'The path of the socket is taken by something that is no socket.',
      {
        place: path,
        remedy: `Look what ${basename(path)} is and remove it, or choose another path.`,
      },
    );
  }
  unlinkSync(path);
}

function checkLength(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_MAX) return;
  throw new VsmmuError(
    'SOCKET_PATH_TOO_LONG',
    `The path has ${bytes} bytes; Linux takes at most ${SOCKET_PATH_MAX} for a unix socket.`,
    { place: path, remedy: 'Choose a shorter directory or name.' },
  );
}

function listen(server: Server, bound: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(unusable(path, error));
    server.once('error', fail);
    // libuv binds inside listen(), so the umask is restored before anything else can run on this thread.
    const umask = process.umask(0o177);
    try {
      server.listen(bound, () => {
        server.off('error', fail);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}

function unusable(path: string, cause: unknown): VsmmuError {
  // libuv turns a missing directory into EACCES (uv_pipe_bind2), which would send a person after permissions.
  const missing = !existsSync(dirname(path));
  const errno = missing ? 'ENOENT' : errnoOf(cause);
  const reason = missing ? `there is no directory ${dirname(path)}` : messageOf(cause);
  const remedies: Record<string, string> = {
    ENOENT: `Create the directory ${dirname(path)}.`,
    EACCES: `Give this user write permission to ${dirname(path)}.`,
    EPERM: `Give this user write permission to ${dirname(path)}.`,
    EROFS: `Mount ${dirname(path)} writable.`,
    EMFILE: 'Raise the limit of open files (ulimit -n).',
    ENOSPC: `Free space on the file system of ${dirname(path)}.`,
  };
  return new VsmmuError('SOCKET_UNUSABLE', `The unix socket could not be made: ${reason}`, {
    place: path,
    remedy: remedies[errno ?? ''] ?? 'See the cause; the path must be in a writable directory.',
    cause,
  });
}
