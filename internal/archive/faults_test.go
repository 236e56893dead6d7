package archive_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// TestFaults: each fault of a mirror has its own error and a hint, and is never taken for good.
func TestFaults(t *testing.T) {
	const inRelease = "dists/bookworm/InRelease"
	now := time.Now()
	for _, test := range []struct {
		name    string
		prepare func(*fakedebian.Suite)
		damage  func(*fakedebian.Tree)
		fault   string // pattern
		with    fakedebian.Fault
		change  func(*archivetest.Mirror)
		want    error
		hint    string
	}{
		{name: "no such suite", change: func(m *archivetest.Mirror) { m.Repo.Suite = "trixie" },
			want: failure.ErrNoSuite, hint: "--mirror"},
		{name: "unreachable", change: func(m *archivetest.Mirror) { m.Server.Close() },
			want: failure.ErrUnreachable, hint: "network"},
		{name: "hang", fault: "InRelease", with: fakedebian.Fault{Hang: true}, change: hasty,
			want: failure.ErrUnreachable, hint: "network"},
		{name: "stall", fault: "InRelease", with: fakedebian.Fault{StallAfter: 300}, change: hasty,
			want: failure.ErrUnreachable, hint: "network"},
		{name: "drip", fault: "delta", with: fakedebian.Fault{Slow: 100 * time.Millisecond},
			change: hasty, want: failure.ErrUnreachable, hint: "network"},
		{name: "redirect loop", fault: "Release", with: fakedebian.Fault{Redirect: "InRelease"},
			want: failure.ErrRefused, hint: "--mirror"},
		{name: "login needed", change: func(m *archivetest.Mirror) {
			m.Server.RequireAuth("joe", "secret")
		},
			want: failure.ErrRefused, hint: "auth.conf"},
		{name: "always 503", fault: "by-hash", with: fakedebian.Fault{Status: 503},
			want: failure.ErrUnreachable, hint: "network"},
		{name: "endless", fault: "delta", with: fakedebian.Fault{Endless: true},
			want: failure.ErrSize, hint: "try again"},
		{name: "endless InRelease", fault: "InRelease", with: fakedebian.Fault{Endless: true},
			want: failure.ErrSize, hint: "try again"},

		{name: "unsigned", prepare: func(s *fakedebian.Suite) { s.Keys = []*fakedebian.Key{} },
			want: failure.ErrNoSignature, hint: "[trusted=yes]"},
		{name: "no Release.gpg", damage: func(tr *fakedebian.Tree) {
			tr.Remove(inRelease)
			tr.Remove("dists/bookworm/Release.gpg")
		}, want: failure.ErrNoSignature, hint: "[trusted=yes]"},
		{name: "a web page", damage: func(tr *fakedebian.Tree) {
			tr.Write(inRelease, []byte("<html>Welcome to our hotel"))
		}, want: failure.ErrNoSignature, hint: "mirror"},
		{name: "unknown key", prepare: func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeyOther)
		}, want: failure.ErrUnknownKey, hint: "--keyring"},
		{name: "flipped", damage: func(tr *fakedebian.Tree) { tr.Flip(inRelease, 80) },
			want: failure.ErrBadSignature, hint: "altered"},
		{name: "flipped signature", damage: func(tr *fakedebian.Tree) { tr.Flip(inRelease, -90) },
			want: failure.ErrBadSignature, hint: "altered"},
		{name: "flipped Release", damage: func(tr *fakedebian.Tree) {
			tr.Remove(inRelease)
			tr.Flip("dists/bookworm/Release", 20)
		}, want: failure.ErrBadSignature, hint: "altered"},
		{name: "cut", damage: func(tr *fakedebian.Tree) { tr.Truncate(inRelease, 400) },
			want: failure.ErrBadSignature, hint: "altered"},
		{name: "text before", damage: around("Suite: evil\n", ""), want: failure.ErrBadSignature,
			hint: "altered"},
		{name: "text after", damage: around("", "Suite: evil\n"), want: failure.ErrBadSignature,
			hint: "altered"},
		{name: "expired key", prepare: func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeyExpired)
		}, want: failure.ErrKeyExpired, hint: "keyring"},
		{name: "revoked key", prepare: func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeyRevoked)
		}, want: failure.ErrKeyExpired, hint: "keyring"},
		{name: "weak RSA", prepare: func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeyWeakRSA)
		}, want: failure.ErrBadSignature, hint: "mirror"},
		{name: "SHA-1", prepare: func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeySHA1)
		}, want: failure.ErrBadSignature, hint: "newer key"},
		{name: "weak DSA", prepare: func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeyWeakDSA)
		}, want: failure.ErrBadSignature, hint: "mirror"},
		{name: "missing keyring", change: func(m *archivetest.Mirror) {
			m.Repo.Keyrings = []string{"/nonexistent.gpg"}
		}, want: os.ErrNotExist, hint: "--keyring"},

		{name: "expired", prepare: func(s *fakedebian.Suite) {
			s.Date, s.ValidUntil = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
		}, want: failure.ErrExpired, hint: "Check-Valid-Until"},
		{name: "future", prepare: func(s *fakedebian.Suite) { s.Date = now.Add(time.Hour) },
			want: failure.ErrFuture, hint: "Check-Date"},
		{name: "no date", prepare: func(s *fakedebian.Suite) { s.NoDate = true },
			want: failure.ErrSyntax, hint: "mirror"},
		{name: "another suite", damage: func(tr *fakedebian.Tree) {
			tr.Write("dists/trixie/InRelease", tr.Read(inRelease))
		}, change: func(m *archivetest.Mirror) { m.Repo.Suite = "trixie" },
			want: failure.ErrWrongSuite, hint: "--mirror"},
		{name: "weak hashes", prepare: func(s *fakedebian.Suite) {
			s.Hashes = []fakedebian.Hash{fakedebian.MD5, fakedebian.SHA1}
		}, want: failure.ErrWeakHash, hint: "SHA256"},
		{name: "a path outside", prepare: func(s *fakedebian.Suite) {
			s.MutateRelease = func(text string) string {
				return strings.ReplaceAll(text, " main/", " ../main/")
			}
		}, want: failure.ErrSyntax, hint: "mirror"},

		{name: "no such component", change: func(m *archivetest.Mirror) {
			m.Repo.Components = []string{"contrib"}
		}, want: failure.ErrNoIndex, hint: "main"},
		{name: "flipped Packages", fault: "Packages.*|by-hash", with: fakedebian.Fault{Flip: 60},
			want: failure.ErrHash, hint: "try again"},
		{name: "cut Packages", fault: "Packages.*|by-hash", with: fakedebian.Fault{Shorten: 7},
			want: failure.ErrSize, hint: "try again"},
		{name: "no Packages", damage: func(tr *fakedebian.Tree) {
			tr.Remove("dists/bookworm/main/")
		}, want: failure.ErrNotFound, hint: "incomplete"},
		{name: "a bomb", damage: bomb, change: func(m *archivetest.Mirror) {
			m.Repo.Trusted = true
		}, want: failure.ErrSize, hint: "try again"},
		{name: "nonsense in Packages", prepare: wholeIndex("Package: x\nVersion 1\n"),
			want: failure.ErrSyntax, hint: "mirror"},
		{name: "a deb outside", prepare: replaceIndex("Filename: pool", "Filename: ../pool"),
			want: failure.ErrSyntax, hint: "mirror"},
		{name: "two names", prepare: replaceIndex("Package: beta", "Package: beta\nPackage: b"),
			want: failure.ErrSyntax, hint: "mirror"},
		{name: "deb without digest", prepare: replaceIndex("SHA256: ", "SHA-none: "),
			want: failure.ErrWeakHash, hint: "SHA256"},

		{name: "flipped deb", damage: func(tr *fakedebian.Tree) {
			tr.Flip(tr.Find("/delta_1.0-1_all.deb"), 5000)
		}, want: failure.ErrHash, hint: "try again"},
		{name: "cut deb", damage: func(tr *fakedebian.Tree) {
			tr.Truncate(tr.Find("/delta_1.0-1_all.deb"), 5000)
		}, want: failure.ErrSize, hint: "try again"},
		{name: "no deb", damage: func(tr *fakedebian.Tree) {
			tr.Remove(tr.Find("/delta_1.0-1_all.deb"))
		}, want: failure.ErrNotFound, hint: "incomplete"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := archivetest.New(t, test.prepare)
			m.Repo.Keyrings = []string{
				fakedebian.Keyring(t, fakedebian.KeyArchive, fakedebian.KeyExpired,
					fakedebian.KeyRevoked, fakedebian.KeyWeakRSA, fakedebian.KeyWeakDSA,
					fakedebian.KeySHA1)}
			m.Serve(test.damage)
			if test.fault != "" {
				m.Server.Fault(test.fault, test.with)
			}
			if test.change != nil {
				test.change(m)
			}
			c := m.Client()
			r, err := c.Release(t.Context(), m.Repo)
			if err == nil {
				var list []*index.Package
				err = c.Packages(t.Context(), r, m.Repo.Components[0], "amd64",
					func(p *index.Package) error {
						list = append(list, p)
						return nil
					})
				if err == nil {
					_, err = c.Debs(t.Context(), list)
				}
			}
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if hint := fault.HintOf(err); !strings.Contains(hint, test.hint) {
				t.Errorf("the hint for %q is %q", err, hint)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
		})
	}
}

// hasty makes a client that does not wait long.
func hasty(m *archivetest.Mirror) { m.Options.Timeout = 300 * time.Millisecond }

func around(before, after string) func(*fakedebian.Tree) {
	return func(tr *fakedebian.Tree) {
		const name = "dists/bookworm/InRelease"
		tr.Write(name, []byte(before+string(tr.Read(name))+after))
	}
}

func wholeIndex(text string) func(*fakedebian.Suite) {
	return func(s *fakedebian.Suite) { s.MutateIndex = func(string, string) string { return text } }
}

func replaceIndex(old, with string) func(*fakedebian.Suite) {
	return func(s *fakedebian.Suite) {
		s.MutateIndex = func(_, text string) string { return strings.ReplaceAll(text, old, with) }
	}
}

// bomb makes the uncompressed size that the Release file says smaller than what the index unpacks
// to.
func bomb(tr *fakedebian.Tree) {
	var lines []string
	for line := range strings.Lines(string(tr.Read("dists/bookworm/Release"))) {
		f := strings.Fields(line)
		if len(f) == 3 && f[2] == "main/binary-amd64/Packages" {
			line = " " + f[0] + " 100 " + f[2] + "\n"
		}
		lines = append(lines, line)
	}
	tr.Write("dists/bookworm/InRelease", []byte(strings.Join(lines, "")))
}
