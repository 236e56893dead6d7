package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/ctxio"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/regular"
)

// origFiles are what lies beside a source directory and belongs to its source package: the upstream
// tarballs and their signatures.
func origFiles(from string, tree *dsc.Tree) ([]string, error) {
	dir, err := Resolved(from)
	if err != nil {
		return nil, err
	}
	return origFilesIn(filepath.Dir(dir), tree)
}

// origFilesIn are those in a directory.
func origFilesIn(beside string, tree *dsc.Tree) ([]string, error) {
	entries, err := os.ReadDir(beside)
	if err != nil {
		return nil, err
	}
	var out []string
	prefix := mainOrig(tree)
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if ok && (strings.HasPrefix(rest, ".tar.") || strings.HasPrefix(rest, "-") &&
			strings.Contains(rest, ".tar.")) {
			out = append(out, filepath.Join(beside, e.Name()))
		}
	}
	return out, nil
}

// copyUpstream copies the upstream tarballs into the jail.
func (in *Source) copyUpstream(ctx context.Context, jail jails.Jail) error {
	files, err := in.origFiles()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := copyUpstreamFile(ctx, jail, file); err != nil {
			return err
		}
	}
	return nil
}

func copyUpstreamFile(ctx context.Context, jail jails.Jail, file string) error {
	in, err := openPart(file)
	if err != nil {
		return err
	}
	defer in.Close()
	return buildroot.Fill(jail, path.Join(buildroot.Dir, filepath.Base(file)), 0o644,
		func(out io.Writer) error {
			_, err := io.Copy(out, ctxio.NewReader(ctx, in))
			return err
		})
}

// sourceFile opens files that a .dsc lists, in its directory.
func sourceFile(dir string) dsc.Opener {
	return func(name string) (io.ReadCloser, error) { return openPart(filepath.Join(dir, name)) }
}

// openPart opens a file that lies beside a source and is handed into the jail as a part of it. Its
// name was not given by the caller: whoever made the source may have made it a link to a file that
// only the caller can read. Links to tarballs are common, though. So what a link leads to is handed
// out only if it is what its name says.
func openPart(file string) (*os.File, error) {
	const hint = "put the file itself there, or remove it"
	f, err := regular.OpenNoFollow(file)
	if errors.Is(err, regular.ErrLink) {
		f, err = openLinked(file)
	}
	return f, fault.Wrap(fault.GivenBack, hint, err)
}

// openLinked opens what a link leads to, if it is what the link's name says. That is decided by the
// open file: the name may stand for another one by now.
func openLinked(file string) (*os.File, error) {
	f, err := regular.Open(file)
	if err != nil {
		return nil, err
	}
	what, is := "a compressed tar archive", isTarball
	switch name := filepath.Base(file); {
	case isSignatureName(name):
		what, is = "an OpenPGP signature", isSignature
	case strings.Contains(name, ".diff."):
		what, is = "a compressed diff", isDiff
	}
	if !is(f) {
		target, err := filepath.EvalSymlinks(file)
		if err == nil {
			err = fault.New(fault.GivenBack, "put the file itself there, or remove the link",
				"%s is a link to %s, which is not %s: it is not handed to the build", file, target,
				what)
		}
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkUpstream finds out whether the upstream tarballs can be handed out, before anything is made.
func checkUpstream(tree *dsc.Tree) error {
	files, err := origFiles(tree.Dir, tree)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	for _, file := range files {
		f, err := openPart(file)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

func isSignatureName(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".asc" || ext == ".sig" || ext == ".sign"
}

// isTarball tells whether a file is a compressed tar archive, as far as its first header says.
func isTarball(r io.Reader) bool {
	var header [512]byte
	z, err := decompress(r)
	if err != nil {
		return false
	}
	defer z.Close()
	if _, err := io.ReadFull(z, header[:]); err != nil {
		return false
	}
	return isTarHeader(header[:])
}

// isDiff tells whether a file is a compressed diff. Those of dpkg-source begin with their first
// file's name, those of other programs with the command that made them.
func isDiff(r io.Reader) bool {
	z, err := decompress(r)
	if err != nil {
		return false
	}
	defer z.Close()
	line, err := bufio.NewReader(io.LimitReader(z, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	for _, begin := range []string{"--- ", "diff ", "Index: ", "Only in "} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return line == "" // it changes nothing
}

// isSignature tells whether the whole of a file is an armoured OpenPGP signature (RFC 9580, 6.2).
func isSignature(r io.Reader) bool {
	const most = 1 << 20
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil || len(text) > most {
		return false
	}
	text = bytes.TrimSpace(text)
	const begin, end = "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"
	return bytes.HasPrefix(text, []byte(begin)) && bytes.HasSuffix(text, []byte(end))
}

// Resolved is a directory without links in its path.
func Resolved(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
