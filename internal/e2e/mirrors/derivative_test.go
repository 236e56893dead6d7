package mirrors

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestDerivative makes a suite that no table has: of a mirror with one architecture of those that
// it promises, behind https with a CA of its own, which asks for a certificate, by what its Release
// file says; then by three lines of a table; then with its packages in a flat repository beside it.
func TestDerivative(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	testenv.RequireUserns(t)
	testenv.RequireNetwork(t)
	debs := oldPackages(t, e2e.SharedCache())
	w := e2e.NewWorld(t)
	testenv.HostState(t)

	a := fakedebian.New(t)
	s := a.Suite("crane")
	s.Origin, s.ByHash, s.Compressions = "Crane", false, []fakedebian.Compression{fakedebian.Gzip}
	s.Architectures, s.Components = []string{"amd64", "arm64"}, []string{"main", "toys"}
	for _, file := range debs {
		s.AddDeb("main", file)
	}
	s.AddTo("toys", fakedebian.Package{Name: "whistle"})
	tree := a.Tree()
	tree.Remove("dists/crane/main/binary-arm64/")
	client, cert, key := fakedebian.Certificate(t)
	srv := fakedebian.ServeMutualTLS(t, fakedebian.Mounts{"crane": tree}, client)
	file := func(name, text string) string {
		name = filepath.Join(w.Dir, name)
		e2e.Check(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	ca := file(
		"ca.pem",
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	conf := `Acquire::https { CaInfo "` + ca + `"; SslCert "` + file("cert.pem", string(cert)) +
		`"; SslKey "` + file("key.pem", string(key)) + `"; };`
	w.Env = []string{"APT_CONFIG=" + file("apt.conf", conf)}
	keyring := fakedebian.Keyring(t, fakedebian.KeyArchive)
	clean := func(base, installed string) {
		t.Helper()
		w.Must(t, "run", base, "--", "sh", "-ec", "dpkg --audit; apt-get check; dpkg -s "+installed)
	}

	e2e.Refusal{Status: 64, Says: []string{`suite "crane" is not known`},
		Hint: "--mirror and --keyring"}.Check(t, w.Run(t, "create", "crane"))
	e2e.Refusal{Status: 1, Says: []string{"signed with a key that is not known"},
		Hint: "--keyring"}.Check(t, w.Run(t, "create", "--mirror", srv.URL("crane"), "crane"))
	w.Must(t, "create", "--variant=essential", "--mirror", srv.URL("crane"), "--keyring", keyring,
		"crane")
	clean("crane", "dpkg")
	if o := w.Must(t, "info", "crane"); !strings.Contains(o.Stdout,
		"Support: not known: the suite is in no table") ||
		!strings.Contains(o.Stdout, "Mirror: "+srv.URL("crane")+"\n") {
		t.Error(o)
	}
	if o := w.Must(t, "update", "crane"); !strings.Contains(o.Stdout, "up to date") {
		t.Error(o)
	}
	t.Run("arm64", func(t *testing.T) {
		testenv.RequireTool(t, "qemu-aarch64-static") // asked before the mirror is
		e2e.Refusal{Status: 1, Says: []string{"binary-arm64/Packages", "404"},
			Hint: "incomplete"}.Check(t, w.Run(t, "create", "--arch=arm64",
			"--variant=essential", "--mirror", srv.URL("crane"), "--keyring", keyring, "crane"))
	})

	w.Env = append(w.Env,
		"NSBUILD_SUITES="+file("suites", "Suite: crane\nMirror: "+srv.URL("crane")+
			"\nKeyrings: "+keyring+"\n"))
	w.Must(t, "create", "--replace", "--variant=essential", "--components=main,toys",
		"--include=whistle", "crane")
	clean("crane", "whistle")

	flat := filepath.Join(w.Dir, "flat")
	other := fakedebian.New(t)
	more := other.Suite("more")
	more.Compressions = []fakedebian.Compression{fakedebian.None}
	more.Add(fakedebian.Package{Name: "kite"})
	tree = other.Tree()
	index := tree.Read("dists/more/main/binary-amd64/Packages")
	release := fmt.Sprintf("Date: %s\nSHA256:\n %x %d Packages\n", more.Date.Format(time.RFC1123),
		sha256.Sum256(index), len(index))
	deb := tree.Find("/kite_1.0-1_all.deb")
	for name, data := range map[string][]byte{
		deb: tree.Read(deb), "Packages": index, "InRelease": fakedebian.Clearsigned(t, release,
			more.Date, fakedebian.KeyOf(t, fakedebian.KeyArchive)),
	} {
		e2e.Check(t, os.MkdirAll(filepath.Dir(filepath.Join(flat, name)), 0o755))
		e2e.Check(t, os.WriteFile(filepath.Join(flat, name), data, 0o644))
	}
	w.Must(t, "create", "--name=both", "--variant=essential", "--mirror", srv.URL("crane"),
		"--mirror", "deb file:"+flat+" ./", "--keyring", keyring, "--include=kite", "crane")
	clean("both", "kite")
}

// TestUnknownSuiteFails: how a suite of no table is made is a guess, which is said when it was a
// bad one.
func TestUnknownSuiteFails(t *testing.T) {
	testenv.RequireUserns(t)
	a, s := e2e.SmallSuite(t) // whose packages are none that could be configured
	s.Codename, s.Suite = "crane", "crane"
	s.Add(fakedebian.Package{Name: "mawk"})
	srv := fakedebian.Serve(t, fakedebian.Mounts{"crane": a.Tree()})
	w := e2e.NewWorld(t)
	testenv.HostState(t)
	refused := e2e.Refusal{Status: 1, Says: []string{"making base crane"},
		Hint: "made as the newest ones are"}
	refused.Check(t, w.Run(t, "create", "--mirror", srv.URL("crane"), "--keyring",
		fakedebian.Keyring(t, fakedebian.KeyArchive), "crane"))
	w.NothingLeft(t)
}
