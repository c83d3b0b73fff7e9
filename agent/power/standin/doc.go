// Package standin is what package power calls of IOKit and notify(3), on Linux: the same headers, and a
// system whose news a test makes. Queues and sources are those of darwin/standin. It is built with the tag macshim alone and is in no program that is shipped.
//
// It is as strict as Apple's documentation: IOKit delivers on the queue that its port was given, one message after the
// other; a message that can be held back has an identifier, which is to be allowed exactly once; nothing comes after
// IODeregisterForSystemPower. A notification comes as a token in network byte
// order, and its state can be read at any time. Whatever breaks such a rule ends the process and says why.
//
// A program that was built with it takes news from outside as well: ARCBOX_STANDIN_POWER names a Unix socket on
// which it answers one line each, see Control.
package standin
