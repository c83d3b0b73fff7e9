// Package house gives a test a Linux of its own in which nothing but a user's systemd
// runs: what it installs touches nobody's session, and what it leaves running ends with
// the test.
package house

// Var is set in the environment inside of a house.
const Var = "ARCBOX_TEST_HOUSE"
