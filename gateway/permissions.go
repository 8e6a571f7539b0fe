package gateway

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "github.com/muster-id/muster/proto/gen/go/muster/options/v1"
)

// admin is the role that exists from the start.
const admin = "admin"

// permissions tells what each role grants: admin every permission that a public
// method asks for, so that a new one needs no line here. No other role grants any.
func permissions(services []protoreflect.ServiceDescriptor) map[string][]string {
	var all []string
	for _, service := range services {
		methods := service.Methods()
		for i := range methods.Len() {
			rule, _ := proto.GetExtension(methods.Get(i).Options(), optionsv1.E_Access).(*optionsv1.Access)
			if permission := rule.GetPermission(); permission != "" && !slices.Contains(all, permission) {
				all = append(all, permission)
			}
		}
	}
	return map[string][]string{admin: all}
}
