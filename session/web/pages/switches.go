package pages

import (
	"time"

	"github.com/neosc/gate/session"
)

// SwitchesView is the page of the policy's switches.
type SwitchesView struct {
	// Status is the answer's status; 0 means 200.
	Status int
	// Email, Name and Roles are of who looks.
	Email, Name string
	Roles       []string
	List        session.SwitchList
	CSRF        string
	// Notice tells how a change went; its tone may be "good" too.
	Notice *Notice
	Theme  Theme
}

// switchRow is one switch in words.
type switchRow struct {
	session.Switch
	Shown, ShownDefault, Tone string
	// Boolean says that it has two positions, of which Other is the one to turn
	// to; else it is a number from Least to Most in steps of Step.
	Boolean           bool
	Other, OtherWord  string
	Least, Most, Step string
	When, Stamp       string
}

// Switches renders the page.
func (r *Renderer) Switches(v SwitchesView) Page {
	d := struct {
		frame
		Revision, Trouble string
		Generation        uint64
		Turned            bool
		Switches          []switchRow
		Ignored           []ignoredRow
	}{
		frame:    r.frame(Viewer{Email: v.Email, Name: v.Name, Roles: v.Roles, Admin: true, CSRF: v.CSRF, Notice: v.Notice, Theme: v.Theme}, "switches", "Switches"),
		Revision: shown(v.List.Revision, 128), Trouble: shown(v.List.Trouble, 300), Generation: v.List.Generation,
	}
	for _, x := range v.List.Switches {
		d.Switches = append(d.Switches, rowOf(x))
		d.Turned = d.Turned || x.Value != x.Default
	}
	for _, x := range v.List.Ignored {
		d.Ignored = append(d.Ignored, ignoredRow{x, word(x.Value)})
	}
	return r.render("switches", r.ownCSP(), orStatus(v.Status), d)
}

type ignoredRow struct {
	session.IgnoredSwitch
	Shown string
}

func rowOf(x session.Switch) switchRow {
	row := switchRow{Switch: x, Shown: word(x.Value), ShownDefault: word(x.Default), Step: "any"}
	row.ChangedBy = shown(or(x.ChangedBy, "unknown"), maxEmailShown)
	if on, ok := x.Value.Boolean(); ok {
		row.Boolean = true
		other := session.BooleanValue(!on)
		row.Other, row.OtherWord = other.String(), word(other)
	}
	if x.Min != nil && x.Max != nil {
		row.Least, row.Most = session.NumberValue(*x.Min).String(), session.NumberValue(*x.Max).String()
	}
	if x.Type == session.SwitchInteger {
		row.Step = "1"
	}
	if x.Set {
		row.Tone = "info"
	}
	if !x.ChangedAt.IsZero() {
		row.When, row.Stamp = x.ChangedAt.UTC().Format("2 Jan 2006, 15:04"), x.ChangedAt.UTC().Format(time.RFC3339)
	}
	return row
}

// word is a value as people say it.
func word(v session.SwitchValue) string {
	on, ok := v.Boolean()
	switch {
	case !ok:
		return v.String()
	case on:
		return "on"
	default:
		return "off"
	}
}
