// The rules of RegisterRequest, so that the form can explain them while the user types. The platform checks them again.

export function checkUsername(name: string): string | undefined {
  if (name.length < 3) return "Use at least 3 characters.";
  if (name.length > 100) return "Use at most 100 characters.";
  if (!/^[A-Za-z0-9]/.test(name)) return "Begin with a letter or a digit.";
  if (!/^[A-Za-z0-9._@+-]*$/.test(name)) return "Use only letters, digits and . _ @ + -";
  return undefined;
}

export function checkPassword(password: string): string | undefined {
  if ([...password].length < 10) return "Use at least 10 characters.";
  if (new TextEncoder().encode(password).length > 72) return "Use at most 72 bytes: shorten it.";
  return undefined;
}
