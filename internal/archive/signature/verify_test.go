package signature

import (
	"errors"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"golang.org/x/sync/errgroup"

	"nsbuild/internal/fakedebian"
)

// TestVerdicts: what a check finds is the same whatever other checks were made with the ring before
// and at the same time, with another leniency and on another day.
func TestVerdicts(t *testing.T) {
	text, signed := []byte("Suite: sid\n"), time.Date(2012, 3, 1, 0, 0, 0, 0, time.UTC)
	type check struct {
		kind  fakedebian.KeyKind
		now   time.Time
		allow Leniency
	}
	var checks []check
	kinds := []fakedebian.KeyKind{fakedebian.KeyArchive, fakedebian.KeyExpired,
		fakedebian.KeyRevoked, fakedebian.KeyWeakRSA, fakedebian.KeyWeakDSA, fakedebian.KeySHA1}
	sigs := map[fakedebian.KeyKind][]byte{}
	for _, kind := range kinds {
		sig, err := Dearmor(fakedebian.Detached(t, text, signed, fakedebian.KeyOf(t, kind)),
			openpgp.SignatureType)
		if err != nil {
			t.Fatal(err)
		}
		sigs[kind] = sig
		for _, now := range []time.Time{{}, signed, signed.AddDate(10, 0, 0)} {
			for _, allow := range []Leniency{{WeakKeys: true, ExpiredKeys: true}, {},
				{WeakKeys: true}, {ExpiredKeys: true}} {
				checks = append(checks, check{kind, now, allow})
			}
		}
	}
	ring := func() *Keyring {
		k := &Keyring{}
		for _, kind := range kinds {
			keys, err := ReadKeys(fakedebian.KeyOf(t, kind).Public(t))
			if err != nil {
				t.Fatal(err)
			}
			k.Add(keys, "test")
		}
		return k
	}
	good := 0
	want := map[check]string{}
	verdict := func(k *Keyring, c check) string {
		if _, err := k.Verify(text, sigs[c.kind], c.now, 0, c.allow); err != nil {
			return err.Error()
		}
		return "good"
	}
	for _, c := range checks {
		want[c] = verdict(ring(), c)
		if want[c] == "good" {
			good++
		}
	}
	if good == 0 || good == len(checks) {
		t.Fatalf("%d of %d are good", good, len(checks))
	}
	shared := ring()
	var all errgroup.Group
	for range 2 {
		all.Go(func() error {
			var wrong []error
			for _, c := range checks {
				if got := verdict(shared, c); got != want[c] {
					wrong = append(wrong, errors.New(string(c.kind)+": "+got+", alone: "+want[c]))
				}
			}
			return errors.Join(wrong...)
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}
