package gen

// The compiled programs are committed, so that benchmarking needs no clang.
// After a change of the C files run `go generate` with clang-14, its llvm-strip
// and libbpf-dev installed. The include path is where Debian has the machine's
// asm/ headers.
//
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -cflags "-O2 -g -Wall -Werror -idirafter /usr/include/x86_64-linux-gnu" generator bpf/generator.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -cflags "-O2 -g -Wall -Werror -idirafter /usr/include/x86_64-linux-gnu" sink bpf/sink.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -cflags "-O2 -g -Wall -Werror -idirafter /usr/include/x86_64-linux-gnu" standin bpf/standin.c
