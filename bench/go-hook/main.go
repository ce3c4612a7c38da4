// The floor for vsmmu's hook: the least a hook sidecar written in Go has to do. It serves KubeVirt's Info and Callbacks
// (v1alpha3) on a unix socket and hands every domain back as it came; messages travel as bytes, so that no generated
// code is needed.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// raw is a message of protobuf that stays bytes.
type raw []byte

type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }
func (rawCodec) Marshal(message any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*message.(*raw))}, nil
}
func (rawCodec) Unmarshal(data mem.BufferSlice, message any) error {
	*message.(*raw) = data.Materialize()
	return nil
}

// field writes a length-delimited field of protobuf.
func field(number byte, value []byte) raw {
	return append(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(value))), value...)
}

// firstField reads field 1 of a message that begins with it: the domain of OnDefineDomainParams.
func firstField(message raw) ([]byte, error) {
	if len(message) == 0 || message[0] != 1<<3|2 {
		return nil, fmt.Errorf("the message does not begin with field 1")
	}
	length, width := binary.Uvarint(message[1:])
	rest := message[1:]
	if width <= 0 || length > uint64(len(rest)-width) {
		return nil, fmt.Errorf("field 1 is cut off")
	}
	return rest[width : width+int(length)], nil
}

func method(name string, answer func(raw) (raw, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request raw
			if err := decode(&request); err != nil {
				return nil, err
			}
			response, err := answer(request)
			return &response, err
		},
	}
}

// main runs until Shutdown is called: go-hook SOCKET_DIR
func main() {
	encoding.RegisterCodecV2(rawCodec{})
	listener, err := net.Listen("unix", filepath.Join(os.Args[1], "floor.sock"))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	info := func(raw) (raw, error) {
		point := append(field(1, []byte("OnDefineDomain")), 2<<3, 10)
		return append(append(field(1, []byte("floor")), field(3, point)...), field(4, []byte("v1alpha3"))...), nil
	}
	same := func(request raw) (raw, error) {
		domain, err := firstField(request)
		return field(1, domain), err
	}
	shutdown := func(raw) (raw, error) {
		go server.GracefulStop()
		return nil, nil
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "kubevirt.hooks.info.Info", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{method("Info", info)},
	}, nil)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "kubevirt.hooks.v1alpha3.Callbacks", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{method("OnDefineDomain", same), method("Shutdown", shutdown)},
	}, nil)
	fmt.Fprintln(os.Stderr, "serving")
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
