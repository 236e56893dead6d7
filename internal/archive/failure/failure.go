// Package failure names what can go wrong between a mirror and the cache, and the ways out.
//
// Every error of the rooms below internal/archive that a user can act on wraps one of the sentinels
// here and carries a hint (fault.HintOf). What a failure means for a command's exit status is the
// caller's to say.
package failure

import (
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"time"

	"nsbuild/internal/deb822"
	"nsbuild/internal/fault"
)

// What can go wrong between a mirror and the cache.
var (
	// ErrUnreachable: no answer, or none that is HTTP, after all retries.
	ErrUnreachable = errors.New("the mirror cannot be reached")
	// ErrNoSuite: the mirror answers, but has neither InRelease nor Release for the suite.
	ErrNoSuite = errors.New("the mirror does not have this suite")
	// ErrNotFound: the mirror does not have a file that it should have (404, 410).
	ErrNotFound = errors.New("the mirror does not have this file")
	// ErrRefused: the mirror or a proxy refused the request (401, 403, 407, other 4xx).
	ErrRefused = errors.New("the mirror refused the request")
	// ErrNoSignature: the Release file is not signed.
	ErrNoSignature = errors.New("there is no signature")
	// ErrUnknownKey: signed, but by no key of the keyring.
	ErrUnknownKey = errors.New("signed with a key that is not known")
	// ErrBadSignature: a known key, but the text is not what it signed, or the signature is too
	// weak to count.
	ErrBadSignature = errors.New("the signature is not valid")
	// ErrKeyExpired: a good signature by a key that has expired or was revoked.
	ErrKeyExpired = errors.New("the signing key is no longer valid")
	// ErrExpired: past the Release file's Valid-Until.
	ErrExpired = errors.New("the Release file has expired")
	// ErrFuture: the Release file's Date lies ahead of this machine's clock.
	ErrFuture = errors.New("the Release file is dated in the future")
	// ErrWrongSuite: a well signed Release file of another suite.
	ErrWrongSuite = errors.New("the Release file is that of another suite")
	// ErrHash: the content is not what the signed index says.
	ErrHash = errors.New("hash mismatch")
	// ErrSize: the length is not what the signed index says.
	ErrSize = errors.New("size mismatch")
	// ErrWeakHash: the index offers no hash that counts for this suite.
	ErrWeakHash = errors.New("no hash strong enough to rely on")
	// ErrSyntax: a file that cannot be understood.
	ErrSyntax = errors.New("malformed")
	// ErrOffline: it would have to be downloaded, and downloading is forbidden.
	ErrOffline = errors.New("not in the cache, and --offline forbids fetching it")
	// ErrNoSpace: the cache's file system is full, or the user's quota is.
	ErrNoSpace = errors.New("no space left in the cache")
	// ErrNoIndex: the Release file lists no such index.
	ErrNoIndex = errors.New("the Release file lists no such index")
	// ErrNoPackage: no package of this name in the given suites.
	ErrNoPackage = errors.New("no such package")
	// ErrNoVersion: the package exists, but not in this version.
	ErrNoVersion = errors.New("no such version")
	// ErrUnsupported: a URI scheme or feature this package does not speak.
	ErrUnsupported = errors.New("not supported")
)

// New makes an error of kind Internal with a hint. What the failure means for a command's exit
// status (Internal, GivenBack) is the caller's to say with fault.Wrap.
func New(hint, format string, args ...any) error {
	return fault.New(fault.Internal, hint, format, args...)
}

// OnDisk names a full disk for what it is and leaves other errors alone.
func OnDisk(dir string, err error) error {
	if errors.Is(err, ErrNoSpace) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return New("free some space under "+dir+", or put the cache elsewhere",
			"writing under %s: %w: %w", dir, ErrNoSpace, err)
	}
	return err
}

// Syntax is an ErrSyntax that says where, and what is wrong there.
func Syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
}

// Malformed makes what is wrong with a text of paragraphs an ErrSyntax and leaves other errors
// alone.
func Malformed(err error) error {
	var at *deb822.Error
	if errors.As(err, &at) {
		return Syntax("%v", at)
	}
	return err
}

// hints are the ways out that depend on nothing but what went wrong.
var hints = []struct {
	is   error
	hint string
}{
	{ErrOffline, "run it once without --offline"},
	{ErrNoSpace, "free some space, or put the cache elsewhere"},
	{ErrNoSuite, "check the suite's name, or name a mirror that has it with --mirror"},
	{ErrNoSignature, "use a mirror that signs its archive; or, if you trust it all the same, " +
		"nsbuild create --no-check-gpg, or [trusted=yes] in this host's apt sources"},
	{ErrUnknownKey, "install the keyring that holds this key, or name it with --keyring"},
	{ErrKeyExpired, "update the archive's keyring package on this host, or name a newer keyring " +
		"with --keyring"},
	{ErrBadSignature, "the mirror, or something on the way, altered the file: try again, or name " +
		"another mirror with --mirror"},
	{ErrWrongSuite, "name a mirror that has the suite with --mirror"},
	{ErrWeakHash, "use a mirror whose indices have SHA256"},
	{ErrHash, "the mirror is broken or was just being changed: try again in a few minutes, or " +
		"name another with --mirror"},
	{ErrSize, "the mirror is broken or was just being changed: try again in a few minutes, or " +
		"name another with --mirror"},
	{ErrNotFound, "the mirror is incomplete or was just being changed: try again in a few " +
		"minutes, or name another with --mirror"},
	{ErrRefused, "check the login in /etc/apt/auth.conf.d and the proxy, or name another mirror " +
		"with --mirror"},
	{ErrUnreachable, "check the network and the proxy, or name another mirror with --mirror"},
	{ErrSyntax, "the mirror's file is not what it should be: name another mirror with --mirror"},
}

// WithHint adds the hint for what went wrong, unless there is a nearer one already.
func WithHint(err error) error {
	for _, h := range hints {
		if errors.Is(err, h.is) {
			return fault.Wrap(fault.Internal, h.hint, err)
		}
	}
	return err
}

// Future is an ErrFuture: what is dated so, and what time it is here.
func Future(date, now time.Time) error {
	return New("set this machine's clock; or, if its time cannot be trusted, "+
		"Acquire::Check-Date \"false\"; in /etc/apt/apt.conf.d",
		"%w: %s, and the clock here says %s", ErrFuture, date.UTC().Format(time.RFC1123),
		now.UTC().Format(time.RFC1123))
}

// PublicURI leaves out a user name and password.
func PublicURI(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.User == nil {
		return uri
	}
	u.User = nil
	return u.String()
}
