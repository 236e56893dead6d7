package unpack

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/regular"
)

// scriptDir is where dpkg puts a package's control files while its preinst runs; scripts that use
// debconf look for it.
const scriptDir = adminDir + "/tmp.ci"

// runPreinsts runs preinst scripts as `dpkg --unpack` does at a first installation (Debian Policy
// 6.5).
//
// The packages' files are in place before the scripts run, which dpkg does the other way round.
// Where that could make a difference, a Result on results says so.
func runPreinsts(in io.Reader, out *os.File, results io.Writer) error {
	var spec Preinsts
	if err := rawjson.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("reading the list of scripts: %w", err)
	}
	for _, s := range spec.Scripts {
		if err := runPreinst(s, spec.Env, out); err != nil {
			return fmt.Errorf("preinst of %s: %w", s.Package, err)
		}
	}
	reason, err := disturbed("/", spec.Scripts)
	if err != nil {
		return err
	}
	return rawjson.NewEncoder(results).Encode(Result{Last: true, Inexact: reason})
}

// disturbed looks in the tree at root for traces of scripts that act on files: a missing file of a
// package whose script ran, and a diversion of a file that another package brought.
func disturbed(root string, scripts []Preinst) (reason string, err error) {
	for _, s := range scripts {
		list, err := regular.ReadFile(path.Join(root, infoDir, s.Info+".list"), maxText)
		if err != nil {
			return "", err
		}
		for p := range strings.Lines(string(list)) {
			p = strings.TrimSuffix(p, "\n")
			if _, err := os.Lstat(path.Join(root, p)); err != nil {
				return fmt.Sprintf("the preinst of %s removed %s", s.Package, p), nil
			}
		}
	}
	return diverted(root)
}

// diverted compares dpkg's diversions (three lines each: the path, where it goes, the package or
// ":") with the files of the packages.
func diverted(root string) (reason string, err error) {
	body, err := regular.ReadFile(path.Join(root, adminDir, "diversions"), maxText)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	by := map[string]string{}
	for i := 0; i+2 < len(lines); i += 3 {
		by[lines[i]] = lines[i+2]
	}
	if len(by) == 0 {
		return "", nil
	}
	lists, err := filepath.Glob(path.Join(root, infoDir, "*.list"))
	if err != nil {
		return "", err
	}
	for _, l := range lists {
		body, err := regular.ReadFile(l, maxText)
		if err != nil {
			return "", err
		}
		pkg, _, _ := strings.Cut(strings.TrimSuffix(path.Base(l), ".list"), ":")
		for p := range strings.Lines(string(body)) {
			if owner, ok := by[strings.TrimSuffix(p, "\n")]; ok && owner != pkg {
				return fmt.Sprintf("%s of %s is diverted by %s", strings.TrimSpace(p), pkg, owner),
					nil
			}
		}
	}
	return "", nil
}

func runPreinst(s Preinst, env []string, out *os.File) (err error) {
	if err := os.Mkdir(scriptDir, 0o755); err != nil {
		return err
	}
	defer func() {
		if rerr := os.RemoveAll(scriptDir); err == nil {
			err = rerr
		}
	}()
	files, err := os.ReadDir(infoDir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Name(), s.Info+".")
		if !ok || strings.Contains(name, ".") || name == "list" {
			continue
		}
		if err := os.Link(path.Join(infoDir, f.Name()), path.Join(scriptDir, name)); err != nil {
			return err
		}
	}
	if err := writeFile(scriptDir+"/control", []byte(s.Control), 0o644, 0); err != nil {
		return err
	}
	cmd := exec.Command(scriptDir+"/preinst", "install")
	cmd.Dir = "/"
	// The variables that dpkg sets for maintainer scripts (dpkg(1), ENVIRONMENT).
	cmd.Env = append(append([]string{}, env...),
		"DPKG_MAINTSCRIPT_PACKAGE="+s.Package,
		"DPKG_MAINTSCRIPT_ARCH="+s.Arch,
		"DPKG_MAINTSCRIPT_NAME=preinst",
		"DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1",
		"DPKG_MAINTSCRIPT_DEBUG=0",
		"DPKG_ADMINDIR="+adminDir,
		"DPKG_ROOT=")
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}
