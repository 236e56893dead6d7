package bases

import (
	"fmt"
	"time"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
)

// checkOld says what is special about making a base of a suite that is no longer supported, and
// refuses one whose programs this kernel would kill. The call into the vsyscall page is only
// amd64's: i386 has none.
func (k *Keeper) checkOld(s suites.Suite, arch string) error {
	if !s.EOL.IsZero() && s.EOL.Before(time.Now()) {
		k.Log.Infof("suite %s: its support ended on %s", s.Name, s.EOL.Format(time.DateOnly))
	}
	if !s.Quirks.Vsyscall || arch != "amd64" {
		return nil
	}
	if err := machine.Vsyscall(); err != nil {
		return fault.Wrap(fault.KindOf(err), fault.HintOf(err)+"; or nsbuild create --arch i386 "+
			s.Name+", which does without that page",
			fmt.Errorf("the programs of %s cannot run here: %w", s.Name, err))
	}
	k.Log.Infof("suite %s: its programs call into the vsyscall page; this kernel lets them (tried)",
		s.Name)
	return nil
}
