//go:build !race

package extauthz

const raced = false
