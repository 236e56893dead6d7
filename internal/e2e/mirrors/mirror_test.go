package mirrors

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/lock"
	"nsbuild/internal/testenv"
)

// TestCreateRefuses makes bases of archives with every fault: each is named, with a way out, and
// nothing stays behind.
func TestCreateRefuses(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	testenv.RequireUserns(t)
	const inRelease, again = "dists/bookworm/InRelease", "try again"
	told := faultTable{head: refusedHead}
	signed := func(kind fakedebian.KeyKind) func(*fakedebian.Suite) {
		return func(s *fakedebian.Suite) { s.Keys = []*fakedebian.Key{fakedebian.KeyOf(t, kind)} }
	}
	other := func(s *fakedebian.Suite) {
		s.Keys = []*fakedebian.Key{fakedebian.KeyOf(t, fakedebian.KeyOther)}
	}
	for _, c := range []struct {
		name    string
		prepare func(*fakedebian.Suite)
		damage  func(*fakedebian.Tree)
		fault   map[string]fakedebian.Fault
		args    []string
		// of sources.list(5), where the host's apt may have switched off what is tested
		options string
		tls     bool
		lock    func(*lock.File) // what is wrong with the lock that the base is made of
		says    string
		hint    string
	}{
		{name: "suite that the mirror lacks", args: []string{"trixie"},
			says: "the mirror does not have this suite", hint: "--mirror"},
		{name: "key that is not known", prepare: other, says: "signed with a key that is not known",
			hint: "--keyring"},
		{name: "keyring that is not there", args: []string{"--keyring=/nonexistent/keyring.gpg"},
			says: "/nonexistent/keyring.gpg", hint: "--keyring"},
		{name: "unsigned", prepare: func(s *fakedebian.Suite) { s.Keys = []*fakedebian.Key{} },
			says: "there is no signature", hint: "--no-check-gpg"},
		{name: "key that was revoked", prepare: signed(fakedebian.KeyRevoked),
			says: "no longer valid", hint: "--keyring"},
		{name: "RSA key of 1024 bits, SHA-1", prepare: signed(fakedebian.KeyWeakRSA),
			says: "too weak to count", hint: "newer key"},
		{name: "signature by way of SHA-1", prepare: signed(fakedebian.KeySHA1),
			says: "relies on SHA-1", hint: "newer key"},
		{name: "DSA key", prepare: signed(fakedebian.KeyWeakDSA), says: "too weak to count",
			hint: "newer key"},
		{name: "MD5 only", prepare: func(s *fakedebian.Suite) {
			s.Hashes = []fakedebian.Hash{fakedebian.MD5}
		}, says: "no hash strong enough", hint: "SHA256"},
		{name: "text before the signed part", damage: func(tr *fakedebian.Tree) {
			tr.Write(inRelease, append([]byte("Suite: evil\n"), tr.Read(inRelease)...))
		}, says: "text before the signed message", hint: "altered"},
		{name: "text after the signed part", damage: func(tr *fakedebian.Tree) {
			tr.Write(inRelease, append(tr.Read(inRelease), "Suite: evil\n"...))
		}, says: "text after the signed message", hint: "altered"},
		{name: "Release cut short", damage: func(tr *fakedebian.Tree) {
			tr.Truncate(inRelease, 400)
		}, says: "cut or malformed", hint: "altered"},
		{name: "another suite's Release", prepare: func(s *fakedebian.Suite) {
			s.MutateRelease = func(text string) string {
				return strings.ReplaceAll(text, ": bookworm\n", ": stretch\n")
			}
		}, says: "the Release file is that of another suite", hint: "--mirror"},
		{name: "index that is missing", damage: func(tr *fakedebian.Tree) {
			tr.RemoveByHash()
			for _, ext := range []string{".xz", ".gz"} {
				tr.Remove("dists/bookworm/main/binary-amd64/Packages" + ext)
			}
		}, says: "the mirror does not have this file", hint: again},
		{name: "yesterday's Packages beside today's Release", damage: func(tr *fakedebian.Tree) {
			tr.RemoveByHash()
			for _, ext := range []string{".xz", ".gz"} {
				name := "dists/bookworm/main/binary-amd64/Packages" + ext
				tr.Truncate(name, len(tr.Read(name))-1)
			}
		}, says: "size mismatch", hint: again},
		{name: "field of 20 MB", prepare: func(s *fakedebian.Suite) {
			s.MutateIndex = func(name, text string) string {
				return strings.Replace(text, "Package: ", "Bloat: "+strings.Repeat("x", 20<<20)+
					"\nPackage: ", 1)
			}
		}, says: "malformed", hint: "--mirror"},
		{name: "redirections in a circle", fault: map[string]fakedebian.Fault{
			"Release$": {Redirect: "/debian/dists/bookworm/InRelease"}}, says: "redirect",
			hint: "--mirror"},
		{name: "connection that is cut", fault: map[string]fakedebian.Fault{
			"InRelease$": {CutAfter: 100}}, says: "the mirror cannot be reached",
			hint: "check the network"},
		{name: "mirror that says nothing", fault: map[string]fakedebian.Fault{
			"InRelease$": {Hang: true}}, args: []string{"--mirror-timeout=200ms"},
			says: "the mirror cannot be reached", hint: "check the network"},
		{name: "deb with more than is promised", fault: map[string]fakedebian.Fault{
			"libc6_.*deb$": {Endless: true}}, says: "it is longer than", hint: again},
		{name: "certificate of nobody", tls: true, says: "certificate", hint: "check the network"},
		{name: "key that has expired", prepare: func(s *fakedebian.Suite) {
			s.Keys = []*fakedebian.Key{fakedebian.KeyOf(t, fakedebian.KeyExpired)}
		}, says: "no longer valid", hint: "--keyring"},
		{name: "expired Release", prepare: func(s *fakedebian.Suite) {
			s.Date, s.ValidUntil = time.Now().Add(-72*time.Hour), time.Now().Add(-48*time.Hour)
		}, options: "check-date=yes check-valid-until=yes", says: "the Release file has expired",
			hint: "Check-Valid-Until"},
		{name: "Release of tomorrow", prepare: func(s *fakedebian.Suite) {
			s.Date = time.Now().Add(24 * time.Hour)
		}, options: "check-date=yes", says: "dated in the future", hint: "clock"},
		{name: "byte flipped in Release", damage: func(tr *fakedebian.Tree) {
			tr.Flip(inRelease, 80)
		}, says: "the signature is not valid", hint: "altered"},
		{name: "byte flipped in Packages", damage: func(tr *fakedebian.Tree) {
			for _, p := range tr.Paths() {
				if strings.Contains(p, "/binary-amd64/") && !strings.HasSuffix(p, "Release") {
					tr.Flip(p, 30)
				}
			}
		}, says: "hash mismatch", hint: again},
		{name: "byte flipped in a deb", damage: func(tr *fakedebian.Tree) {
			tr.Flip(tr.Find("libc6_1.0-1_all.deb"), 100)
		}, says: "hash mismatch", hint: again},
		{name: "deb that is missing", damage: func(tr *fakedebian.Tree) {
			tr.Remove(tr.Find("libc6_1.0-1_all.deb"))
		}, says: "the mirror does not have this file", hint: again},
		{name: "deb cut short", damage: func(tr *fakedebian.Tree) {
			tr.Truncate(tr.Find("libc6_1.0-1_all.deb"), 200)
		}, says: "libc6", hint: again},
		{name: "mirror that refuses", fault: map[string]fakedebian.Fault{".": {Status: 403}},
			says: "the mirror refused the request", hint: "--mirror"},
		{name: "package that no base can lack", prepare: func(s *fakedebian.Suite) {
			s.MutateIndex = func(name, text string) string {
				return strings.ReplaceAll(text, "Package: build-essential\n",
					"Package: something-else\n")
			}
		}, says: "no package build-essential", hint: "components"},
		{name: "two signatures, none by a known key", prepare: func(s *fakedebian.Suite) {
			s.Keys = []*fakedebian.Key{fakedebian.KeyOf(t, fakedebian.KeyOther),
				fakedebian.KeyOf(t, fakedebian.KeySecond)}
		}, says: "signed with a key that is not known", hint: "--keyring"},
		{name: "Release without a date", prepare: func(s *fakedebian.Suite) { s.NoDate = true },
			says: "malformed: Date", hint: "--mirror"},
		{name: "Packages that unpacks to more than is promised",
			prepare: func(s *fakedebian.Suite) {
				s.MutateRelease = func(text string) string {
					return regexp.MustCompile(
						`(?m) +\d+ (main/binary-amd64/Packages)$`).ReplaceAllString(text, " 10 $1")
				}
			}, says: "it unpacks to more than", hint: again},
		{name: "mirror that falls silent", fault: map[string]fakedebian.Fault{
			"libc6_.*deb$": {StallAfter: 100}}, args: []string{"--mirror-timeout=200ms"},
			says: "the mirror stopped sending", hint: "check the network"},
		{name: "deb of another length than is promised", fault: map[string]fakedebian.Fault{
			"libc6_.*deb$": {WrongLength: 50}}, says: "size mismatch", hint: again},
		{name: "Pre-Depends in a circle", prepare: func(s *fakedebian.Suite) {
			s.Add(fakedebian.Package{Name: "chicken", Priority: "required", Essential: true,
				PreDepends: "egg"},
				fakedebian.Package{Name: "egg", PreDepends: "dpkg, chicken (>= 1.0)"})
		}, says: "in a circle, so that none can be unpacked first: chicken → egg → chicken",
			hint: "--mirror"},
		{name: "Pre-Depends that nothing fulfils", prepare: func(s *fakedebian.Suite) {
			s.Add(fakedebian.Package{Name: "hammer", Priority: "required", Essential: true,
				PreDepends: "libc6 (>= 9) | nail"})
		}, says: "package hammer pre-depends on libc6 (>= 9) | nail", hint: "components"},
		{name: "package of a lock that is no longer there", lock: func(f *lock.File) {
			p := &f.Repositories[0].Packages[0]
			p.Version, p.File = "0.9-1", "pool/main/libc/libc6/libc6_0.9-1_all.deb"
		}, says: "package libc6_0.9-1_all",
			hint: "--mirror 'deb [check-valid-until=no] URL bookworm main' as of 2026-11-01 " +
				"00:00 UTC"},
		{name: "package that is not what its lock says", lock: func(f *lock.File) {
			f.Repositories[0].Packages[0].SHA256 = strings.Repeat("0", 64)
		}, says: "the lock file says", hint: again},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := e2e.NewWorld(t)
			testenv.HostState(t)
			a, s := e2e.SmallSuite(t)
			if c.prepare != nil {
				c.prepare(s)
			}
			tree := a.Tree()
			if c.damage != nil {
				c.damage(tree)
			}
			serve := fakedebian.Serve
			if c.tls {
				serve = fakedebian.ServeTLS
			}
			srv := serve(t, fakedebian.Mounts{"debian": tree})
			for pattern, f := range c.fault {
				srv.Fault(pattern, f)
			}
			mirror := srv.URL("debian")
			if c.options != "" {
				mirror = "deb [" + c.options + "] " + mirror + " bookworm main"
			}
			args := []string{"create", "--mirror", mirror, "--keyring",
				fakedebian.Keyring(t, fakedebian.KeyArchive, fakedebian.KeyExpired,
					fakedebian.KeyRevoked, fakedebian.KeyWeakRSA, fakedebian.KeyWeakDSA,
					fakedebian.KeySHA1)}
			if len(c.args) == 0 || strings.HasPrefix(c.args[0], "-") {
				args = append(args, "bookworm")
			}
			if c.lock != nil {
				f := lockOfLibc(tree, mirror)
				c.lock(f)
				writeLock(t, w, "bookworm.lock", f)
				args = []string{"create", "--locked=bookworm.lock"}
			}
			o := w.Run(t, append(args, c.args...)...)
			e2e.Refusal{Status: 1, Says: []string{c.says}, Hint: c.hint}.Check(t, o)
			w.NothingLeft(t)
			told.add(c.name, o)
		})
	}
	if !t.Failed() {
		told.compare(t)
	}
}

// TestCreateWithoutMirror asks mirrors that do not answer.
func TestCreateWithoutMirror(t *testing.T) {
	testenv.RequireUserns(t)
	for mirror, want := range map[string]e2e.Refusal{
		"http://127.0.0.1:9/debian": {
			Status: 1, Says: []string{"the mirror cannot be reached", "connection refused"},
			Hint: "check the network and the proxy, or name another mirror with --mirror"},
		"/nonexistent": {
			Status: 64, Says: []string{"mirror /nonexistent is neither a URI nor a directory"},
			Hint: "existing directory"},
		"gopher://mirror.example/": {Status: 64, Says: []string{"gopher"}, Hint: "http"},
	} {
		t.Run(mirror, func(t *testing.T) {
			w := e2e.NewWorld(t)
			testenv.HostState(t)
			want.Check(t, w.Run(t, "create", "--mirror", mirror, "bookworm"))
			w.NothingLeft(t)
		})
	}
}
