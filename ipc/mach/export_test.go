package mach

// DialWire is Dial without the connection that it makes of the wire.
var DialWire = dial
