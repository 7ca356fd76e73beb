#include "box/program.h"

#include "base/base.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	uint16_t number;
	const char *name;
} machines[] = {
	{ EM_386, "i386" },	  { EM_X86_64, "x86_64" }, { EM_ARM, "arm" },	  { EM_AARCH64, "aarch64" },
	{ EM_RISCV, "riscv64" }, { EM_PPC64, "ppc64" },	  { EM_S390, "s390x" }, { EM_LOONGARCH, "loongarch64" },
	{ EM_MIPS, "mips" },
};

/* "#! /bin/sh -e": up to the first blank. */
static void parse_script(const char *text, size_t n, struct program *ret)
{
	size_t at = 2, len = 0;

	while (at < n && (text[at] == ' ' || text[at] == '\t'))
		at++;
	while (at + len < n && len + 1 < PROGRAM_NAME_MAX && text[at + len] && !strchr(" \t\r\n", text[at + len]))
		len++;
	memcpy(ret->interpreter, text + at, len);
	ret->interpreter[len] = '\0';
}

static void parse_interpreter(const char *head, size_t n, const Elf64_Ehdr *e, struct program *ret)
{
	for (unsigned i = 0; i < e->e_phnum; i++) {
		uint64_t at = e->e_phoff + (uint64_t)i * sizeof(Elf64_Phdr);
		Elf64_Phdr p;

		if (e->e_phoff > n || at + sizeof(p) > n)
			return;
		memcpy(&p, head + at, sizeof(p));
		if (p.p_type != PT_INTERP)
			continue;
		if (p.p_offset > n || p.p_filesz > n - p.p_offset)
			return;
		snprintf(ret->interpreter, sizeof(ret->interpreter), "%.*s", (int)MIN(p.p_filesz, (uint64_t)PROGRAM_NAME_MAX),
			 head + p.p_offset);
		return;
	}
}

void program_parse(const void *head, size_t n, struct program *ret)
{
	Elf64_Ehdr e;

	*ret = (struct program){ 0 };
	if (n >= 2 && !memcmp(head, "#!", 2))
		parse_script(head, n, ret);
	if (n < sizeof(e) || memcmp(head, ELFMAG, SELFMAG))
		return;
	memcpy(&e, head, sizeof(e));
	ret->machine = "an unknown machine";
	for (size_t i = 0; i < ARRAY_LEN(machines); i++)
		if (machines[i].number == e.e_machine)
			ret->machine = machines[i].name;
	/* Programs of 32 bits have another header; their machine says enough. */
	if (e.e_ident[EI_CLASS] == ELFCLASS64 && e.e_phentsize == sizeof(Elf64_Phdr))
		parse_interpreter(head, n, &e, ret);
}

void program_read(const char *path, struct program *ret)
{
	char head[PROGRAM_HEAD_MAX];
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));

	program_parse(head, n > 0 ? (size_t)n : 0, ret);
}
