// Command bundle makes ArcBox.app of programs that were built for a Mac, signs it, and reads the signatures again. It
// runs on Linux as well: there a signature is ad hoc, which is enough for the hypervisor on one's own Mac; on a Mac
// codesign makes it, with an identity if there is one.
//
//	Contents/Info.plist             identifiers and versions
//	Contents/MacOS                  arcboxd, arcbox, arcbox-vm (alone with the hypervisor's entitlement), arcbox-net, arcbox-routed
//	Contents/Library/LaunchAgents   the agent, for an app that registers it (SMAppService)
//	Contents/Resources              arcbox-guest, and boot assets where they are given
//	Contents/_CodeSignature         what seals the rest
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/pflag"
)

func main() {
	o := options{}
	fs := pflag.NewFlagSet("bundle", pflag.ContinueOnError)
	fs.StringVar(&o.out, "out", "build/ArcBox.app", "the `DIRECTORY` to make; one that is there is replaced")
	fs.StringVar(&o.programs, "programs", "build/darwin", "the `DIRECTORY` with the programs, and arcbox-guest")
	fs.StringVar(&o.assets, "assets", "", "a store of boot assets (`DIRECTORY`/assets) to bring along")
	fs.StringVar(&o.version, "version", "0.0.0", "the `VERSION`, three numbers")
	fs.StringVar(&o.build, "build", "0", "the build's `NUMBER`")
	fs.StringVar(&o.identity, "identity", "-", "on a Mac, whom codesign signs as: a Developer ID, or - for ad hoc")
	fs.BoolVar(&o.own, "own", false, "on a Mac too, sign ad hoc as elsewhere, without codesign")
	verifyOnly := fs.Bool("verify", false, "only read what is at --out")
	if err := fs.Parse(os.Args[1:]); err != nil {
		if err == pflag.ErrHelp {
			return
		}
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(2)
	}
	err := run(&o, *verifyOnly)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(o *options, verifyOnly bool) error {
	if !verifyOnly {
		s := signer(adHoc{})
		if runtime.GOOS == "darwin" && !o.own {
			s = codesign{o.identity}
		} else if o.identity != "-" {
			return fmt.Errorf("cannot sign as %s: only codesign on a Mac can; leave --identity out for an ad-hoc signature", o.identity)
		}
		if err := assemble(o, s); err != nil {
			return err
		}
	}
	if err := verify(o.out); err != nil {
		return fmt.Errorf("%s is not well signed: %w", o.out, err)
	}
	fmt.Println(o.out, "is sealed, and what is sealed is so")
	return nil
}
