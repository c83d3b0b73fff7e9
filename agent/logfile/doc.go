// Package logfile is logs as files that do not grow for ever, and reading them while
// they are written: the agent's own lines, what a guest prints on its console,
// `arcbox logs -f`. It knows nothing of what is in them.
//
// # Files
//
// A log at PATH that is full is renamed to PATH.N, where N only ever rises, and
// another is begun. So a file that a reader has open never changes its place in the
// order, one rename is all there is to a rotation, and a process that is killed at any
// moment leaves nothing to repair: what was written is there, at most its last line is
// torn, and whoever opens the log next ends that line first.
//
// # What is promised
//
//   - A Write is whole in one file, in the order of Writes, and is there when Write
//     returns, whatever becomes of the process. It is not synced: the host's crash may take
//     it.
//   - Any number of goroutines may use one Writer, and any number of processes may have
//     the same log open, as an agent and its successor do for a moment.
//   - A log takes at most (Files+1) times MaxSize, and what single Writes are longer.
//     When it cannot be rotated it grows to twice its size before Writes fail.
//   - A log that somebody moves or removes is begun anew.
//   - A Reader reads each byte once and in order, across rotations, and waits for events of
//     the file system, not for time. One that is slower than files are removed skips
//     whole files, and says how many.
package logfile
