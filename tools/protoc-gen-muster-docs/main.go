// Command protoc-gen-muster-docs is a protoc plugin that makes the documentation
// of the public API, package muster.v1: an OpenAPI 3.1 description and the page
// that the gateway serves at /docs.
//
//	muster/v1/*.proto ──▶ api.go: what there is ──▶ openapi.go ──▶ openapi.yaml
//	                      rules.go, options.go  └─▶ page.go    ──▶ page.html
//
// Both come from one model, so they cannot differ. It refuses a method without
// comment or example, an example that is no message of its type, a reason that
// is not in the table, and a validation rule that it cannot put into words:
// what is documented is complete or is not made.
package main

import (
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/pluginpb"
)

// documented is the package of the public API.
const documented = "muster.v1"

func main() {
	protogen.Options{}.Run(func(plugin *protogen.Plugin) error {
		plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		api, err := readAPI(plugin)
		if err != nil {
			return err
		}
		description, err := openAPI(api)
		if err != nil {
			return err
		}
		page, err := renderPage(api)
		if err != nil {
			return err
		}
		for name, content := range map[string][]byte{"openapi.yaml": description, "page.html": page} {
			if _, err := plugin.NewGeneratedFile(name, "").Write(content); err != nil {
				return err
			}
		}
		return nil
	})
}
