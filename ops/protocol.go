package ops

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

const (
	// protocolMajor grows with a change of the service that an older client or server would get wrong.
	protocolMajor = 1
	// protocolMinor grows with every addition.
	protocolMinor = 6
	// protocolHeader is the header in which a client tells its protocolMajor.
	protocolHeader = "Gabion-Protocol"

	modulePath = "github.com/gabiondb/gabion"
)

// moduleVersion is the version of this module in the program, as far as the Go tool recorded it.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == modulePath && info.Main.Version != "" {
		return info.Main.Version
	}
	for _, dependency := range info.Deps {
		if dependency.Path == modulePath {
			return dependency.Version
		}
	}
	return "unknown"
}

// checkProtocol returns an error that says which side to upgrade, unless both speak one major version.
func checkProtocol(client, server uint64) error {
	if client == server {
		return nil
	}
	older := "upgrade the client: use the gabion command, or the module " + modulePath + ", of the server's version"
	if server < client {
		older = "upgrade the server: restart it with the version of this client"
	}
	return messages.Failf(messages.Code_CODE_UNIMPLEMENTED,
		"the client speaks protocol %d, the server protocol %d", client, server).Advise(older)
}

// protocolInterceptor refuses clients of another major version and makes every error one of the service.
type protocolInterceptor struct{}

func (protocolInterceptor) check(procedure string, header string) error {
	if header == "" || procedure == messagesconnect.GabionServiceInfoProcedure {
		return nil
	}
	client, err := strconv.ParseUint(header, 10, 32)
	if err != nil {
		return messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "header %s is %q, not a number", protocolHeader, header)
	}
	return checkProtocol(client, protocolMajor)
}

// WrapUnary implements connect.Interceptor.
func (p protocolInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if request.Spec().IsClient {
			request.Header().Set(protocolHeader, fmt.Sprint(protocolMajor))
			return next(ctx, request)
		}
		if err := p.check(request.Spec().Procedure, request.Header().Get(protocolHeader)); err != nil {
			return nil, toConnect(err)
		}
		response, err := next(ctx, request)
		if err != nil {
			return nil, toConnect(err)
		}
		return response, nil
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (protocolInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set(protocolHeader, fmt.Sprint(protocolMajor))
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (p protocolInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := p.check(conn.Spec().Procedure, conn.RequestHeader().Get(protocolHeader)); err != nil {
			return toConnect(err)
		}
		if err := next(ctx, conn); err != nil {
			return toConnect(err)
		}
		return nil
	}
}
