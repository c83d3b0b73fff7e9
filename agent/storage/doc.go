// Package storage keeps the disk images of machines: it makes them, opens them
// for one user at a time, grows them, and says what they take and how to get it back.
// What is done to one open image is package file's; this one is about the file in its
// directory. It never runs while the guest writes: arcbox-vm, which is handed the
// descriptor, does that.
//
// # What an image is
//
// A regular file whose bytes are the disk's: no header, no format. It is sparse, 8 TiB
// long by default, and takes what was written to it, so that no size has to be chosen.
// Machines own theirs; the default machine's is DefaultName.
//
// # What holds at any moment
//
//   - At an image's path there is nothing or a whole image. A new one is made under a
//     temporary name, flushed, and then named; the directory is flushed too. Whatever
//     is killed or loses its power meanwhile leaves a temporary file at most, which the
//     next Ensure in that directory removes.
//   - An image never becomes shorter, whatever size is asked for, and is never
//     replaced by another.
//   - One holder writes an image, and nobody reads it then, or any number read it. The
//     lock is on the open file: it moves with the descriptor to whichever process is
//     handed it, and ends with the last of them, however that dies.
//   - A start never fails for want of space: what is preallocated is a hint, and what
//     could not be had is said in Image.Notes.
//
// # Space
//
// Space is taken ahead of use only within reserveBound, once when the image is
// made and again before it grows, since on macOS space can only be taken at the end of a
// file. Later growth is the guest's writing; file.SetGuard keeps it from filling the host.
//
// A file system without holes would write every byte of the promise. That is found out by
// trying with a small file, and an image larger than what was asked for by name is refused
// there.
package storage
