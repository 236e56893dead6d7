package pkgbuild

import (
	"fmt"
	"slices"
	"time"

	"nsbuild/internal/scratch"
)

// lastNeed is what is known of the last build of this source; zero when nothing is.
func (b *builder) lastNeed(name string) scratch.Need {
	last, err := scratch.NeedsIn(b.env.CacheDir).Last(name)
	if err != nil {
		b.env.Log.Debug(err)
	}
	return last
}

// describeSpace says in the log where the build writes, and what it is likely to take there.
func (at *attempt) describeSpace() {
	at.log.Subsection("Check disk space")
	where := "The build writes to disk"
	if at.onTmpfs() {
		where = fmt.Sprintf("The build writes to a tmpfs of %d MiB", at.place.limit>>20)
	}
	at.log.Printf("%s; with its dependencies about %d MiB are expected.", where,
		at.expectedSpace(at.plain)>>20)
}

// expectedSpace is what a build is likely to write, in bytes: what the last one of this source did
// and a quarter more, else a guess. A compressed source grows tenfold when it is unpacked, and
// about as much again when it is built; dependencies come on top.
func (b *builder) expectedSpace(plain bool) int64 {
	const factor, dependencies, base = 40, 1 << 30, 512 << 20
	if plain {
		return b.expectedBesides(factor, dependencies) + base
	}
	return b.expectedBesides(factor, dependencies)
}

// expectedBesides is what is expected besides a copy of the base.
func (b *builder) expectedBesides(factor, dependencies int64) int64 {
	name, _ := b.in.Identity()
	if last := b.lastNeed(name); last.Tree > 0 {
		return last.Tree + last.Tree/4 + last.Dependencies
	}
	if b.in.DSC == nil {
		return dependencies
	}
	var size int64
	for _, f := range b.in.DSC.Files {
		size += f.Size
	}
	return size*factor + dependencies
}

// rememberNeed keeps what this build has taken. That it cannot be kept does not harm the build.
func (b *builder) rememberNeed(n scratch.Need) {
	if n.Tree <= 0 {
		return
	}
	n.Seconds = b.sinceStart(time.Now())
	if b.noteSamples(); b.result.Samples != nil {
		n.Memory = slices.Max(b.result.Samples.Memory)
	}
	n.Version, n.Date = b.header.Version, time.Now().UTC().Truncate(time.Second)
	if err := scratch.NeedsIn(b.env.CacheDir).Keep(b.header.Package, n); err != nil {
		b.env.Log.Debugf("remembering what the build needed: %v", err)
	}
}

// noteNeed remembers what this build took, for the choice of the next one's scratch. On disk only
// what is left at the end is known, which may be much less than the most there was: then the last
// need stays where it was larger.
func (at *attempt) noteNeed() {
	n := scratch.Need{Tree: at.summary.Space << 10}
	if at.watch != nil && at.onTmpfs() {
		var before int64
		if n.Tree, before = at.watch.Grown(); at.deps.Layer == nil {
			n.Dependencies = before
		}
	} else {
		n.Tree = max(n.Tree, at.overflowed, at.lastNeed(at.header.Package).Tree)
	}
	if size := at.deps.Size(); size > 0 {
		n.Dependencies = size
	}
	at.rememberNeed(n)
}
