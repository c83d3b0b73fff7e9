// Package quiet keeps a process of ours asleep that has nothing to do. Each program imports it for that alone.
//
// Go's monitor thread looks around once a minute for a garbage collection that is due by time, in every process, and
// nothing that Go offers turns that off. Programs that are built with the tag quiet (and -ldflags=-checklinkname=0, as
// the linker asks for) have that time put so far away that it never comes: a collection is then begun by garbage only,
// and a process without any sleeps until something happens. Others wake up twice a minute and are the same otherwise.
package quiet
