package serve

import (
	"context"
	"net/http"
	"slices"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDiagnostic bounds a request of health and reflection: a name, or two.
const maxDiagnostic = 4 << 10

// Diagnostics mounts gRPC health and server reflection for a service's Connect
// services. They stand outside the access gate, having no option of ours: what
// they tell, whether a service is up and how its methods look, anyone who
// reaches the port may know. Health is NOT_SERVING until ready says otherwise.
func Diagnostics(mux *http.ServeMux, ready func() bool, services ...protoreflect.ServiceDescriptor) {
	names := make([]string, 0, len(services))
	for _, each := range services {
		names = append(names, string(each.FullName()))
	}
	own := connect.WithHandlerOptions(
		connect.WithReadMaxBytes(maxDiagnostic),
		packing(maxDiagnostic),
		connect.WithInterceptors(outcome{}), // so that their errors stay theirs
	)
	mux.Handle(grpchealth.NewHandler(&checker{ready: ready, services: names}, own))
	reflector := grpcreflect.NewStaticReflector(names...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, own))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, own))
}

type checker struct {
	ready    func() bool
	services []string
}

var _ grpchealth.Checker = (*checker)(nil)

// Check tells the state of one service, or of the process for the empty name.
func (c *checker) Check(_ context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if request.Service != "" && !slices.Contains(c.services, request.Service) {
		return nil, connect.NewError(connect.CodeNotFound, nil)
	}
	if !c.ready() {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
