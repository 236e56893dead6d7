// Package docs runs what the documentation says, as its readers would: page by page, in a home
// directory of its own. Package howtos runs a part of the how-tos, beside this one.
package docs
