package xdp

// The compiled program is committed, so that building the appliance needs no
// clang. After a change of redirect.c run `go generate` with clang-14, its
// llvm-strip and libbpf-dev installed; TestGenerated fails if that was
// forgotten. The include path is where Debian has the machine's asm/ headers.
//
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -type kind -type reason -cflags "-O2 -g -Wall -Werror -idirafter /usr/include/x86_64-linux-gnu" redirect redirect.c
