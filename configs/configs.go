// Package configs has the defaults that are built into the programs.
package configs

import "embed"

//go:embed presets/*.yaml
var presets embed.FS

// Preset is the text of a preset: one block of settings for each control.
func Preset(name string) ([]byte, error) { return presets.ReadFile("presets/" + name + ".yaml") }
