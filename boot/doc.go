// Package boot keeps what a machine boots from: sets of a kernel, an initrd
// and a root, each with a manifest that says what they are.
//
// An asset is one such set in a directory of a Store. Its ID is its kernel's
// version and the digest of its manifest, so two IDs never mean the same bytes
// and one ID never means others. A Library looks in two stores: the one in the
// user's data directory, and one that the whole machine shares and most users
// may only read. A Source or a Builder fills a store.
//
// # On disk
//
//	STORE/assets/ID/manifest.json   and the files that it names
//	STORE/assets/ID/manifest.sig    where whoever published it signed it
//	STORE/partial/SHA256            downloads that can be resumed
//	STORE/tmp/                      what is being made; swept by the next fetch
//	STORE/state.json                which IDs booted, which one is selected
//	STORE/lock, STORE/fetch.lock    never deleted
//
// A directory appears under assets by a rename after everything in it reached
// the disk, so at any moment, kill -9 and power cuts included, an ID is absent
// or complete. What rots later is found by Verify and repaired by a fetch.
//
// # Locks
//
// fetch.lock is held for as long as a fetch takes and says that everything in
// tmp and partial is the holder's. lock is held for moments, around renames in
// assets and around state.json; whoever needs both takes fetch.lock first. A
// shared flock on an asset's manifest means that a machine uses it (see Use).
package boot
