// Package configs has the defaults that are built into the programs.
package configs

import "embed"

//go:embed presets/*.yaml
var presets embed.FS

//go:embed apparmor/*
var appArmor embed.FS

// Preset is the text of a preset: one block of settings for each control.
func Preset(name string) ([]byte, error) { return presets.ReadFile("presets/" + name + ".yaml") }

// AppArmor is a file of the AppArmor profiles: a template, what the templates have in common, or the features that they are written for.
func AppArmor(name string) (string, error) {
	text, err := appArmor.ReadFile("apparmor/" + name)
	return string(text), err
}
