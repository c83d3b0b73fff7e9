// Package objc stands in for darwinkit's: the types that others name.
package objc

// IObject is any Objective-C object.
type IObject interface{ IsNil() bool }

// An Object is one.
type Object struct{ ID int }

// IsNil says whether there is none.
func (o Object) IsNil() bool { return o.ID == 0 }
