// A delegate that does nothing.
package main

func main() {}
