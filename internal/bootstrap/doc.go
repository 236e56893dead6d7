// Package bootstrap makes a base tree out of a suite: it chooses the packages, has them fetched and
// verified by internal/archive, unpacks them inside a jail with the applet of
// internal/bootstrap/unpack, and has the tree's own dpkg configure them.
//
// The model is `debootstrap --variant=buildd` 1.0.141: the same packages, and the same files with
// the same owners, modes and contents but for what a test of this package lists. Instead of this
// native way, the host's debootstrap or mmdebstrap can be run in the jail. Where trees are kept,
// and what they are called, is left to internal/base.
package bootstrap
