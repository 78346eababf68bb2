/*
 * libseccomp makes programs of what it is told on the standard input, with the calls that runc makes (libcontainer/seccomp,
 * InitSeccomp and matchCall). Numbers are in hexadecimal. The input:
 *
 *   names ARCH                        every system call of an architecture, as "NUMBER NAME" lines, and an empty line
 *   filter DEFAULT OPTIMIZE           begins a filter
 *   arch ARCH                         adds an architecture
 *   rule ACTION NAME N [INDEX OP A B]...   adds a rule with N conditions; a name that is not known is left out
 *   end                               writes "ok N" and N instructions "CODE JT JF K", or "error WHERE ERRNO"
 *
 * Each filter says at most one error: what runc does with the rest does not matter, because it gives up. A filter that takes more than
 * two seconds of the processor ends the program by SIGVTALRM: some sets of rules bring libseccomp into an endless loop.
 */
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

/* The calls of 32-bit arm that other machines have instructions for have numbers of their own (asm/unistd.h, __ARM_NR_BASE). */
enum { MAX_NUMBER = 1 << 10, X32_BIT = 1 << 30, ARM_BASE = 0x0f0000, ARM_MOST = 1 << 4 };

static void die(const char *what)
{
	fprintf(stderr, "libseccomp.c: %s\n", what);
	exit(1);
}

static void want(int got, int wanted)
{
	if (got != wanted)
		die("the input is not as it should be");
}

static void names(void)
{
	uint32_t arch;

	want(scanf("%" SCNx32, &arch), 1);
	int most = arch == SCMP_ARCH_ARM ? MAX_NUMBER + ARM_MOST : MAX_NUMBER;
	for (int n = 0; n < most; n++) {
		int number = arch == SCMP_ARCH_X32 ? n | X32_BIT : n < MAX_NUMBER ? n : ARM_BASE + n - MAX_NUMBER;
		char *name = seccomp_syscall_resolve_num_arch(arch, number);
		if (name != NULL)
			printf("%x %s\n", number, name);
		free(name);
	}
	putchar('\n');
}

/* error has the first thing that went wrong, and where. */
struct error {
	const char *where;
	int code;
};

static void failed(struct error *e, const char *where, int rc)
{
	if (rc != 0 && e->code == 0) {
		e->where = where;
		e->code = -rc;
	}
}

static void rule(scmp_filter_ctx ctx, uint32_t byDefault, struct error *e)
{
	uint32_t action;
	unsigned int n;
	char name[256];
	struct scmp_arg_cmp conditions[6];

	want(scanf("%" SCNx32 "%255s%u", &action, name, &n), 3);
	if (n > 6)
		die("too many conditions");
	for (unsigned int i = 0; i < n; i++) {
		unsigned int op;
		want(scanf("%u%u%" SCNx64 "%" SCNx64, &conditions[i].arg, &op, &conditions[i].datum_a, &conditions[i].datum_b), 4);
		conditions[i].op = op;
	}
	if (action == byDefault)
		return;
	int number = seccomp_syscall_resolve_name(name);
	if (number == __NR_SCMP_ERROR)
		return;
	failed(e, "rule", seccomp_rule_add_array(ctx, action, number, n, conditions));
}

static void export(scmp_filter_ctx ctx, struct error *e)
{
	int fd = memfd_create("program", MFD_CLOEXEC);
	if (fd < 0)
		die("memfd_create");
	failed(e, "export", seccomp_export_bpf(ctx, fd));
	if (e->code != 0) {
		printf("error %s %d\n", e->where, e->code);
	} else {
		off_t size = lseek(fd, 0, SEEK_END);
		struct sock_filter i;
		printf("ok %zu\n", (size_t)size / sizeof i);
		lseek(fd, 0, SEEK_SET);
		while (read(fd, &i, sizeof i) == sizeof i)
			printf("%x %x %x %x\n", i.code, i.jt, i.jf, i.k);
	}
	close(fd);
}

static void filter(void)
{
	uint32_t byDefault, optimize;
	char word[16];
	struct error e = {NULL, 0};
	struct itimerval limit = {{0, 0}, {2, 0}};

	if (setitimer(ITIMER_VIRTUAL, &limit, NULL) != 0)
		die("setitimer");
	want(scanf("%" SCNx32 "%" SCNx32, &byDefault, &optimize), 2);
	scmp_filter_ctx ctx = seccomp_init(byDefault);
	if (ctx == NULL)
		die("seccomp_init");
	if (optimize != 0)
		failed(&e, "optimize", seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, optimize));
	for (;;) {
		want(scanf("%15s", word), 1);
		if (strcmp(word, "end") == 0)
			break;
		if (strcmp(word, "rule") == 0) {
			rule(ctx, byDefault, &e);
		} else if (strcmp(word, "arch") == 0) {
			uint32_t arch;
			want(scanf("%" SCNx32, &arch), 1);
			int rc = seccomp_arch_add(ctx, arch);
			failed(&e, "arch", rc == -EEXIST ? 0 : rc);
		} else {
			die("an unknown word");
		}
	}
	export(ctx, &e);
	seccomp_release(ctx);
}

int main(void)
{
	char word[16];
	struct rlimit memory = {1 << 30, 1 << 30};

	if (setrlimit(RLIMIT_AS, &memory) != 0)
		die("setrlimit");
	/* The test asks for one thing at a time and waits for the answer. */
	while (scanf("%15s", word) == 1) {
		if (strcmp(word, "names") == 0)
			names();
		else if (strcmp(word, "filter") == 0)
			filter();
		else
			die("an unknown word");
		fflush(stdout);
	}
	return 0;
}
