package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"nsbuild/internal/annotate"
	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/cachedir"
	"nsbuild/internal/config"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/layer"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/progress"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// program is what logs and results say of who has made them.
func program() string { return "nsbuild " + version }

// app is what the verbs share: the global flags, and the environment that is opened when a verb
// needs it.
type app struct {
	stdout, stderr *os.File
	releaseSignals func()   // leaves signals to the verb
	logTo          *os.File // where a log is shown, when not with the progress
	events         *result.Events

	globalFlags
	service       annotate.Service // that shows what is printed
	result        resultFile
	configuration configuration
	env           *pkgbuild.Env
	cache         *cachedir.Dir // of env
	table         *suites.Table

	// The flags of create and update hold for bases that a build makes or brings up to date by
	// itself, too.
	createFlags *createOptions
	updateFlags *hookOptions
	buildFlags  *buildOptions
	resumed     *resumed // the batch that the command goes on with; nil: none
	planTo      string   // where plans of a batch are written, and nothing is built; "": nowhere
	rdepsJSON   bool     // the outcome of rdeps is a document
	pinning     bool     // what builds are made from is pinned
}

// globalFlags are those of every verb, and --json of those that tell what they do.
type globalFlags struct {
	quiet, verbose, debug bool
	json                  bool // events on standard output
	offline, refresh      bool
	refreshAfter          time.Duration
	mirrorTimeout         time.Duration
	stateDir, cacheDir    string
	cacheLimit            string
	requireIsolation      string
}

func (g *globalFlags) addFlags(f *pflag.FlagSet) {
	f.BoolVarP(&g.quiet, "quiet", "q", false, "show no progress")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "show the output of what runs in the sandbox")
	f.BoolVar(&g.debug, "debug", false, "log what is done, for reports of bugs")
	f.BoolVar(&g.offline, "offline", false, "use what is cached, fetch nothing")
	f.BoolVar(&g.refresh, "refresh", false, "ask the mirror for new lists now")
	f.DurationVar(&g.refreshAfter, "refresh-after", 10*time.Minute,
		"ask the mirror when lists are older than `TIME`")
	f.DurationVar(&g.mirrorTimeout, "mirror-timeout", 0, "give up a mirror that is silent for "+
		"`TIME` (default: apt's Acquire::http::Timeout, else 30s)")
	f.StringVar(&g.stateDir, "state-dir", "", "keep bases in `DIR` (NSBUILD_STATE; default "+
		"~/.local/share/nsbuild, of root /var/lib/nsbuild)")
	f.StringVar(&g.cacheDir, "cache-dir", "", "keep downloads and layers in `DIR` "+
		"(NSBUILD_CACHE; default ~/.cache/nsbuild, of root /var/cache/nsbuild)")
	f.StringVar(&g.cacheLimit, "cache-limit", "", "let downloads and layers grow to `SIZE` "+
		"(NSBUILD_CACHE_LIMIT; default 20G)")
	f.StringVar(&g.requireIsolation, "require-isolation", "any",
		"refuse a sandbox that is weaker than `LEVEL`: full, any")
}

// require is what --require-isolation asks for.
func (g *globalFlags) require() sandbox.Level {
	if g.requireIsolation == string(sandbox.LevelFull) {
		return sandbox.LevelFull
	}
	return ""
}

// checkFlags finds what is wrong with the flags of every verb.
func (g *globalFlags) checkFlags() error {
	switch {
	case g.offline && g.refresh:
		return usage("leave out one of them; --offline=false overrules a configuration",
			"--offline and --refresh contradict each other")
	case g.refreshAfter < 0:
		return usage("0s for always", "--refresh-after %v: it cannot be negative", g.refreshAfter)
	case g.mirrorTimeout < 0:
		return usage("leave it out for what is usual", "--mirror-timeout %v: it cannot be negative",
			g.mirrorTimeout)
	case g.requireIsolation != "" && g.requireIsolation != "any" &&
		g.requireIsolation != string(sandbox.LevelFull):
		return usage("full or any", "--require-isolation %s: there is no such level",
			g.requireIsolation)
	}
	_, err := config.FindCacheLimit(g.cacheLimit)
	return err
}

// suites is the table of suites, with those of the machine's administrator and of the user.
// NSBUILD_SUITES names one file instead of theirs.
func (a *app) suites() *suites.Table {
	if a.table == nil {
		files := []string{"/etc/nsbuild/suites.deb822"}
		if file := os.Getenv("NSBUILD_SUITES"); file != "" {
			files = []string{file}
		} else if dir, err := os.UserConfigDir(); err == nil { // without a home there is none
			files = append(files, filepath.Join(dir, "nsbuild", "suites.deb822"))
		}
		a.table = suites.New(files...)
	}
	return a.table
}

// open makes the environment of a verb that works with bases.
func (a *app) open(ctx context.Context) (*pkgbuild.Env, error) {
	dirs, err := config.FindDirs(a.stateDir, a.cacheDir)
	if err != nil {
		return nil, err
	}
	state, cache := dirs.State, dirs.Cache
	limit, err := config.FindCacheLimit(a.cacheLimit)
	if err != nil {
		return nil, err
	}
	ids, err := sandbox.ResolveIDs()
	if err != nil {
		return nil, err
	}
	e := &pkgbuild.Env{Program: program(), StateDir: state, CacheDir: cache, IDs: ids,
		Require: a.require(), Suites: a.suites(), Meter: &progress.Meter{}}
	e.Progress = a.newProgress()
	e.Log = a.logger(e.Progress)
	if e.Store, err = base.Open(state); err != nil {
		return nil, err
	}
	if e.Host, err = aptconf.ReadHost("/", a.suites()); err != nil {
		return nil, err
	}
	after := a.refreshAfter
	if a.refresh {
		after = -1
	}
	if e.Client, err = archive.NewClient(archive.Options{
		CacheDir: cache, Host: e.Host, Log: e.Log, Offline: a.offline, RefreshAfter: after,
		Timeout: a.mirrorTimeout, Progress: e.Transferred,
	}); err != nil {
		return nil, err
	}
	if e.Layers, err = layer.Open(cache); err != nil {
		return nil, err
	}
	a.env = e
	if err := e.Open(ctx); err != nil {
		return nil, fmt.Errorf("preparing the state directory: %w", err)
	}
	a.cache = &cachedir.Dir{Files: e.Client.Cache, Layers: e.Layers, Hooks: hook.CachesIn(cache),
		Limit: limit, Work: e.Work, IDs: ids, Log: e.Log}
	return e, nil
}

// openLocal makes the environment of a verb that needs no archive: it reads no configuration of
// apt's and opens no cache.
func (a *app) openLocal(ctx context.Context) (*pkgbuild.Env, error) {
	dirs, err := config.FindDirs(a.stateDir, a.cacheDir)
	if err != nil {
		return nil, err
	}
	state := dirs.State
	e := &pkgbuild.Env{Program: program(), StateDir: state, CacheDir: dirs.Cache,
		Require: a.require(), Suites: a.suites()}
	e.Progress = a.newProgress()
	e.Log = a.logger(e.Progress)
	if e.Store, err = base.Open(state); err != nil {
		return nil, err
	}
	if e.IDs, err = sandbox.ResolveIDs(); err != nil {
		return nil, err
	}
	a.env = e
	if err := e.Open(ctx); err != nil {
		return nil, fmt.Errorf("preparing the state directory: %w", err)
	}
	return e, nil
}

// logger is the one logger, on the stream that progress owns.
func (a *app) logger(p *progress.Progress) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(p.Writer())
	quiet := a.quiet && !a.debug
	log.SetFormatter(&lineFormatter{quiet})
	if a.events != nil {
		log.AddHook(messages{a.events, quiet})
	}
	switch {
	case a.debug:
		log.SetLevel(logrus.DebugLevel)
	case a.quiet:
		log.SetLevel(logrus.WarnLevel)
	}
	return log
}

// silenced tells whether a log line is not for those who want no more than they must know.
func silenced(e *logrus.Entry) bool {
	return e.Level > logrus.ErrorLevel && e.Data[fault.Shown] == nil
}

// lineFormatter writes log lines for people: "nsbuild: warning: …".
type lineFormatter struct{ quiet bool }

func (f *lineFormatter) Format(e *logrus.Entry) ([]byte, error) {
	if f.quiet && silenced(e) {
		return nil, nil
	}
	text := "nsbuild: "
	if e.Data[pkgbuild.LogPlain] != nil {
		text = ""
	}
	if e.Level != logrus.InfoLevel {
		text += e.Level.String() + ": "
	}
	if name, ok := e.Data[pkgbuild.LogSource]; ok {
		text += fmt.Sprintf("%s: ", name)
	}
	text += e.Message
	for _, k := range []string{"url", "attempt", "error"} {
		if v, ok := e.Data[k]; ok {
			text += fmt.Sprintf(" %s=%v", k, v)
		}
	}
	return buildlog.Visible([]byte(text + "\n")), nil // names and output of packages may be in it
}

// close ends the environment.
func (a *app) close(ctx context.Context) error {
	if a.env == nil {
		return a.closeEvents()
	}
	ctx, cancel := workdir.Afterwards(ctx)
	defer cancel()
	err := a.env.Close(ctx)
	if a.env.Client != nil {
		if a.cache != nil && a.env.Grown() {
			a.cache.MakeRoom(ctx)
		}
		err = errors.Join(err, a.env.Client.Close())
	}
	return errors.Join(err, a.env.Progress.Close(), a.closeEvents())
}
