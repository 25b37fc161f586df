package pages

import "bytes"

// The colours that can be chosen besides the system's.
const (
	Light = "light"
	Dark  = "dark"
)

// Theme is the menu in which colours are chosen; without CSRF there is none.
type Theme struct {
	// Chosen is Light, Dark or "" for the system's.
	Chosen string
	CSRF   string
}

type themeChoice struct {
	Value, Text string
	Current     bool
}

// Choices are those of the menu.
func (t Theme) Choices() []themeChoice {
	return []themeChoice{{"", "System", t.Chosen == ""}, {Light, "Light", t.Chosen == Light}, {Dark, "Dark", t.Chosen == Dark}}
}

// Themed is the page in chosen colours. Its body is a copy.
func (p Page) Themed(theme string) Page {
	if theme == Light || theme == Dark {
		p.Body = bytes.Replace(p.Body, []byte(`<html lang="en">`), []byte(`<html lang="en" data-theme="`+theme+`">`), 1)
	}
	return p
}
