// Package apt has the apt of a jail resolve and install without network.
//
// The suite's own apt knows best what its packages need; what it may not do is fetch. So the
// verified lists and packages of the cache are shown to it read-only: first it says which packages
// it wants (Wanted), then the caller fetches and verifies those, then it installs them (Run).
// Everything of ours lies on a tmpfs at /run/nsbuild, and nothing of it stays in the layer below.
// Fetching and verifying is left to internal/archive, what is to be installed to the caller.
package apt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

const (
	// MountPoint is the directory that a jail opened with Mounts has for us, and that stays behind,
	// empty.
	MountPoint = "/run/nsbuild"

	ownDir     = MountPoint
	cacheMount = ownDir + "/cache"
	listsDir   = ownDir + "/lists"
	archives   = ownDir + "/archives"
	copiesDir  = ownDir + "/copies"
	filesDir   = ownDir + "/files"
	stateDir   = ownDir + "/apt"
	configFile = ownDir + "/apt.conf"
	pinFile    = ownDir + "/preferences"
	sourceList = ownDir + "/sources.list"
	dpkgScript = ownDir + "/dpkg"
	parsed     = stateDir + "/pkgcache.bin"
)

// cached are the parts of the cache that apt is shown.
var cached = []string{"lists", "debs", "copies"}

// Mounts are what a jail needs for New, given the archive client's cache directory.
func Mounts(cacheDir string) []sandbox.Mount {
	mounts := []sandbox.Mount{
		{Type: "tmpfs", Target: ownDir, Mkdir: true, NoSuid: true, NoDev: true, Data: "mode=0755"}}
	for _, part := range cached {
		mounts = append(mounts, sandbox.Mount{
			Type: "bind", Source: filepath.Join(cacheDir, part),
			Target: path.Join(cacheMount, part), Mkdir: true, ReadOnly: true, NoSuid: true,
			NoDev: true, NoExec: true,
		})
	}
	return mounts
}

// Apt is the apt of a jail.
type Apt struct {
	jail     jails.Jail
	cacheDir string
	env      []string
	options  []string
	parsed   os.FileInfo // of SetParsed
}

// Source is a suite whose lists apt is given, or a repository of the caller's own packages.
type Source struct {
	Repo     aptconf.Repo
	Release  *release.File
	Archs    []string // whose packages may be installed
	Lists    []index.ListFile
	Packages []*index.Package // all there are; of a repository without a Release file
}

// Extra is where a repository of the caller's own packages seems to be in the jail; see
// archive.Client.Local.
const Extra = "copy:" + ownDir + "/extra"

// Config overrides what the base may say. Its own lists directory and caches keep ours out of the
// layer; the lock would be on a directory that nobody else sees. Nobody reads what apt's planner of
// installations was told (eipp.log.xz), which costs more than the planning. debconf has apt call
// dpkg-preconfigure before it installs: that only asks early what every package asks again when it
// is set up, and without apt-utils, which bases have not, it only says so.
const Config = `Dir::State::Lists "` + listsDir + `";
Dir::Cache "` + stateDir + `";
Dir::Cache::srcpkgcache "";
Dir::Cache::Archives "` + archives + `";
Dir::Etc::SourceList "` + sourceList + `";
Dir::Etc::SourceParts "/dev/null";
Dir::Log::Planner "/dev/null";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::Assume-Yes "true";
APT::Cache-Start "100000000";
Acquire::Languages "none";
Debug::NoLocking "true";
Dpkg::Use-Pty "false";
Dir::Bin::dpkg "` + dpkgScript + `";
#clear DPkg::Pre-Install-Pkgs;
DPkg::Options { "--force-confold"; "--refuse-remove-essential"; "--force-unsafe-io"; };
`

// New prepares apt in a jail that was opened with Mounts. env is the environment of apt and of the
// maintainer scripts.
func New(jail jails.Jail, cacheDir string, env []string, sources []Source) (*Apt, error) {
	a := &Apt{jail: jail, cacheDir: cacheDir, env: env}
	for _, dir := range []string{listsDir + "/partial", archives + "/partial", copiesDir, filesDir,
		stateDir} {
		if err := jail.Mkdir(dir, 0o755, 0, 0); err != nil {
			return nil, fmt.Errorf("preparing apt: %w", err)
		}
	}
	var list strings.Builder
	for _, s := range sources {
		// trusted: the signature was verified outside, whose keyring is newer than the jail's may
		// be.
		kind, rest, _ := strings.Cut(s.Repo.SourcesLine(), " ")
		fmt.Fprintf(&list, "%s [trusted=yes] %s\n", kind, rest)
		for _, l := range s.Lists {
			if err := a.show(l.Path, path.Join(listsDir, l.Name)); err != nil {
				return nil, fmt.Errorf("preparing apt: %w", err)
			}
		}
	}
	for name, text := range map[string]string{sourceList: list.String(), configFile: Config} {
		if err := a.write(name, 0o644, strings.NewReader(text)); err != nil {
			return nil, fmt.Errorf("preparing apt: %w", err)
		}
	}
	if err := a.write(dpkgScript, 0o755,
		strings.NewReader(script(archives, copiesDir))); err != nil {
		return nil, fmt.Errorf("preparing apt: %w", err)
	}
	return a, nil
}

// show makes a file of the cache appear in the jail.
func (a *Apt) show(file, as string) error {
	rel, err := filepath.Rel(a.cacheDir, file)
	if err != nil || strings.HasPrefix(rel, "..") {
		return fmt.Errorf("%s does not lie in the cache", file)
	}
	return a.jail.Symlink(path.Join(cacheMount, filepath.ToSlash(rel)), as)
}

func (a *Apt) write(name string, mode os.FileMode, r io.Reader) error {
	f, err := a.jail.Create(name, mode, 0, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// Add puts a package of the caller's own into the jail and returns its path there, to be given to
// Wanted and Run. name must end in .deb.
func (a *Apt) Add(name string, deb io.Reader) (string, error) {
	file := path.Join(filesDir, name)
	if err := a.write(file, 0o644, deb); err != nil {
		return "", fmt.Errorf("adding %s: %w", name, err)
	}
	return file, nil
}

// Prefer gives apt preferences (apt_preferences(5)) beside those of the base.
func (a *Apt) Prefer(text string) error {
	if text == "" {
		return nil
	}
	if err := a.write(pinFile, 0o644, strings.NewReader(text)); err != nil {
		return fmt.Errorf("preparing apt: %w", err)
	}
	// What a priority above 1000 is for, apt does without a question only where it may.
	a.options = append(a.options, "-o", "Dir::Etc::Preferences="+pinFile, "-o",
		"APT::Get::allow-downgrades=true")
	return nil
}

// SetParsed gives apt what an earlier apt over the same base, with the same lists, has left of
// parsing them (Parsed). apt itself judges whether it is still true, by the names, sizes and times
// of all that went into it, and by its own time, which must be later than that of the list of
// sources.
func (a *Apt) SetParsed(from io.Reader) error {
	err := a.write(parsed, 0o644, from)
	if err == nil {
		a.parsed, err = a.statParsed()
	}
	if err != nil {
		return fmt.Errorf("giving apt its cache: %w", err)
	}
	return nil
}

func (a *Apt) statParsed() (os.FileInfo, error) {
	f, err := a.jail.Open(parsed)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Parsed opens what apt has left of parsing its lists: nil when it has used what it was given, or
// left nothing.
func (a *Apt) Parsed() (*os.File, error) {
	f, err := a.jail.Open(parsed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || a.parsed == nil {
		return f, err
	}
	if now, err := f.Stat(); err != nil || os.SameFile(now, a.parsed) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Wanted is a package that apt would fetch.
type Wanted struct {
	URL  string
	Name string // the file's name in apt's archives directory
	Size int64
	// the strongest that the lists have, as "SHA256:HEX"; "" when the suite's apt says none
	Hash string
}

// ErrUnresolved means that apt found no way to do what it was asked; its explanation is in the log.
var ErrUnresolved = errors.New("apt found no solution")

// Wanted asks apt what it would fetch for a command such as "install", "/run/nsbuild/files/x.deb".
// What apt says goes to log when it fails.
func (a *Apt) Wanted(ctx context.Context, log io.Writer, args ...string) ([]Wanted, error) {
	var out bytes.Buffer
	status, err := a.jail.RunTo(ctx, a.command(append([]string{"-q", "--print-uris"}, args...)),
		&out, &out)
	if err != nil {
		return nil, fmt.Errorf("asking apt: %w", err)
	}
	if !status.Success() {
		if _, err := log.Write(out.Bytes()); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w (%s)", ErrUnresolved, status)
	}
	return parseURIs(&out)
}

// parseURIs reads what --print-uris prints among other things: 'URL' NAME SIZE HASHTYPE:HEX.
func parseURIs(r io.Reader) ([]Wanted, error) {
	var wanted []Wanted
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "'")
		if !ok {
			continue
		}
		uri, rest, ok := strings.Cut(text, "' ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 || strings.Contains(fields[0], "/") {
			return nil, fmt.Errorf("apt printed a line that cannot be read: %q", lines.Text())
		}
		size, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("apt printed a line that cannot be read: %q", lines.Text())
		}
		if uri, err = url.PathUnescape(uri); err != nil {
			return nil, fmt.Errorf("apt printed a URL that cannot be read: %q", lines.Text())
		}
		if strings.HasPrefix(uri, "file:") && strings.HasPrefix(strings.TrimPrefix(uri, "file:"),
			ownDir) {
			continue // a package of the caller's own
		}
		w := Wanted{URL: strings.ReplaceAll(uri, "/./", "/"), Name: fields[0], Size: size}
		if len(fields) > 2 {
			w.Hash = fields[2]
		}
		wanted = append(wanted, w)
	}
	return wanted, lines.Err()
}

// Provide shows apt a verified package of the cache as what it wanted. dpkg is given the copy of it
// instead, unless that is "".
func (a *Apt) Provide(w Wanted, file, copied string) error {
	err := a.show(file, path.Join(archives, w.Name))
	if err == nil && copied != "" {
		err = a.show(copied, path.Join(copiesDir, w.Name))
	}
	if err != nil {
		return fmt.Errorf("providing %s: %w", w.Name, err)
	}
	return nil
}

// Run has apt do a command for real. Its output goes to log.
func (a *Apt) Run(ctx context.Context, log io.Writer, args ...string) (sandbox.Status, error) {
	status, err := a.jail.RunTo(ctx, a.command(append([]string{"-q"}, args...)), log, log)
	if err != nil {
		return status, fmt.Errorf("running apt: %w", err)
	}
	return status, nil
}

func (a *Apt) command(args []string) sandbox.Command {
	return sandbox.Command{Argv: slices.Concat([]string{"apt-get", "-c", configFile}, a.options,
		args), Env: a.env}
}
