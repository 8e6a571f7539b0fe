package upcast

import (
	"errors"
	"maps"
)

// passwordSetWithKind puts `kind` in the place of `must_change`, which was a bool:
// absent for false, as proto3 JSON writes it.
func passwordSetWithKind(v1 map[string]any) (map[string]any, error) {
	v2 := maps.Clone(v1)
	delete(v2, "mustChange")
	switch v1["mustChange"] {
	case true:
		v2["kind"] = "PASSWORD_KIND_ONE_TIME"
	case false, nil:
		v2["kind"] = "PASSWORD_KIND_CHOSEN"
	default:
		return nil, errors.New("mustChange is neither true nor false")
	}
	return v2, nil
}
