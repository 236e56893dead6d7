package aptconf

import (
	"time"

	"nsbuild/internal/archive/failure"
)

// validity is what decides whether a Release file is too old or too new: the options of the source,
// else the host's Acquire settings, for which a Label's own come first.
type validity struct {
	CheckDate, CheckUntil bool
	min, max              time.Duration // bounds of the time it is valid; 0 for none
	Future                time.Duration // how far ahead a Date may lie
}

// Validity is what holds for the Release file of a repository, and of a Label.
func (h *Host) Validity(r Repo, label string) validity {
	o := r.options
	v := validity{CheckDate: true, CheckUntil: true, Future: 10 * time.Second}
	if h.conf != nil {
		v.CheckDate = h.conf.flag("Acquire::Check-Date", true)
		v.CheckUntil = h.conf.flag("Acquire::Check-Valid-Until", true)
		for _, s := range []struct {
			name string
			into *time.Duration
		}{{"Min-ValidTime", &v.min}, {"Max-ValidTime", &v.max}, {"Max-FutureTime", &v.Future}} {
			for _, key := range []string{"Acquire::" + s.name, "Acquire::" + s.name + "::" +
				label} {
				if d, ok := h.conf.seconds(key); ok {
					*s.into = d
				}
			}
		}
	}
	if o.checkDate != nil {
		v.CheckDate = *o.checkDate
	}
	if o.checkValidUntil != nil {
		v.CheckUntil = *o.checkValidUntil
	}
	for _, s := range []struct{ from, into *time.Duration }{{o.validMin, &v.min},
		{o.validMax, &v.max}, {o.maxFuture, &v.Future}} {
		if s.from != nil {
			*s.into = *s.from
		}
	}
	// a clock that is not trusted cannot tell that something expired
	v.CheckUntil = v.CheckUntil && v.CheckDate
	return v
}

// Check compares the Date and the Valid-Until of a Release file, which may be zero, with the clock.
func (v validity) Check(date, until, now time.Time) error {
	if v.CheckDate && date.After(now.Add(v.Future)) {
		return failure.Future(date, now)
	}
	if !v.CheckUntil {
		return nil
	}
	if v.max > 0 {
		if end := date.Add(v.max); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	if until.IsZero() {
		return nil
	}
	if v.min > 0 {
		if end := date.Add(v.min); end.After(until) {
			until = end
		}
	}
	if now.After(until) {
		return failure.New(
			"use a mirror that is kept up to date; or, if this one is old on purpose, "+
				"Acquire::Check-Valid-Until \"false\"; in /etc/apt/apt.conf.d",
			"%w: it was valid until %s", failure.ErrExpired, until.Format(time.RFC1123))
	}
	return nil
}
